"""What the figures are and what they must be: percentiles, medians, the table, the last line. Pure."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


class MissingTool(Exception):
    """Something the bench needs is not installed."""

    def __init__(self, what: str, packages: str) -> None:
        """Say how to install it."""
        super().__init__(f"{what} is needed and was not found. On Debian: sudo apt-get install {packages}")


@dataclass(frozen=True)
class Target:
    """What one figure must be at least and should be.

    more   more is better; otherwise less is
    """

    name: str
    says: str
    must: float
    aim: float
    more: bool = False


TARGETS = (
    Target("janus_cpu_ratio", "CPU per forwarded packet, 30 calls of two, to Janus'", 0.6, 0.4),
    Target("janus_cpu_ratio_five", "CPU per forwarded packet, rooms of five, to Janus'", 0.6, 0.4),
    Target("janus_calls_ratio", "calls of two per core before p99 exceeds 5 ms, to Janus'", 1.7, 2.5, more=True),
    Target("janus_latency_p99_ratio", "added latency p99 at 30 calls, to Janus'", 0.8, 0.4),
    Target("calls_per_core", "calls of two per core before p99 exceeds 5 ms", 0, 0, more=True),
    Target("fan_out_pps", "packets/s out of one core, rooms of five", 80_000, 110_000, more=True),
    Target("latency_p50_ms", "added latency p50 at 30 calls, ms", 0.2, 0.1),
    Target("latency_p99_ms", "added latency p99 at 30 calls, ms", 5, 5),
    Target("join_stall_p999_ms", "added latency p99.9 while 4 people a second join, ms", 5, 2),
    Target("answer_ms", "offer to answer, ms", 5, 2),
    Target("join_ms", "join to first decoded remote frame, two people, ms", 200, 130),
    Target("fifth_join_ms", "join to first decoded remote frame, fifth person, ms", 500, 300),
    Target("ramp_ms", "join to an allowed send bitrate of 1.5 Mbit/s, ms", 1000, 500),
    Target("kill_recover_ms", "relay kill -9 to both sides decoding, ms", 1000, 700),
    Target("ice_restart_ms", "ICE restart on a dead path to decoding, ms", 500, 250),
    Target("call_memory_mb", "memory per call of two, MB", 1.0, 0.7),
)


PYTHON = "_python"
"""Ends the name of a figure of the forwarder in Python, the default; without it a figure is of the compiled one, which
is there for the sake of these figures."""

OF_A_FORWARDER = (
    "janus_cpu_ratio", "janus_cpu_ratio_five", "janus_calls_ratio", "janus_latency_p99_ratio", "calls_per_core",
    "fan_out_pps", "latency_p50_ms", "latency_p99_ms", "join_stall_p999_ms", "answer_ms", "call_memory_mb",
)  # fmt: skip


def spread_targets(targets: Sequence[Target] = TARGETS) -> list[Target]:
    """Return the targets with a second one for each figure that both forwarders have, right behind the first."""
    spread = []
    for target in targets:
        both = target.name in OF_A_FORWARDER
        spread.append(replace(target, says=f"{target.says} (compiled)") if both else target)
        if both:
            spread.append(replace(target, name=target.name + PYTHON, says="the same (Python, the default)"))
    return spread


@dataclass(frozen=True)
class Sample:
    """One measurement of one server under one load. Latency in ms."""

    cpu_us: float
    busy: float
    rate: float
    loss: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def percentile_ms(latency: Sequence[int], share: float) -> float:
    """Return the latency that `share` (0 to 1) of packets did not exceed.

    latency   how many packets took so many microseconds, by index
    Raises    ValueError when there is none
    """
    total = sum(latency)
    if not total:
        raise ValueError("nothing was received")
    wanted = share * total
    seen = 0
    for microseconds, count in enumerate(latency):
        seen += count
        if count and seen >= wanted:
            return microseconds / 1000
    raise AssertionError("unreachable")


def summarise(latency: Sequence[int], *, expected: int, received: int, cpu_seconds: float, seconds: float) -> Sample:
    """Return the sample of a run in which `received` of `expected` packets came."""
    return Sample(
        cpu_us=cpu_seconds / received * 1e6 if received else 0.0,
        busy=cpu_seconds / seconds,
        rate=received / seconds,
        loss=max(0.0, 1 - received / expected),
        p50_ms=percentile_ms(latency, 0.5),
        p99_ms=percentile_ms(latency, 0.99),
        p999_ms=percentile_ms(latency, 0.999),
    )


def carries(sample: Sample, *, p99_ms: float, loss: float = 0.002) -> bool:
    """Say whether a server still carried this load.

    loss   what may be missing: a fifth of a percent is what stands in queues when the measurement ends
    """
    return sample.p99_ms <= p99_ms and sample.loss <= loss


def guess_capacity(units: int, busy: float) -> int:
    """Return at how many units to begin looking for the limit, from how busy so many make the core: 70 % of it."""
    return max(units, int(0.7 * units / max(busy, 0.01)))


def judge(target: Target, value: float) -> str:
    """Return "aim", "must" or "MISSED"; nothing where nothing was set."""
    if not target.must:
        return ""
    sign = 1 if target.more else -1
    if sign * value >= sign * target.aim:
        return "aim"
    return "must" if sign * value >= sign * target.must else "MISSED"


def render_table(
    measured: Mapping[str, Sequence[float]],
    not_measured: Mapping[str, str],
    targets: Sequence[Target] = TARGETS,
) -> str:
    """Return the table: for each figure must, aim, median, lowest to highest of the rounds, and what it reached.

    not_measured   figure -> why
    """
    lines = [f"{'figure':32} {'must':>8} {'aim':>8} {'measured':>9} {'spread':>17}  reached  what it is"]
    for target in targets:
        values = measured.get(target.name)
        must, aim = (f"{target.must:g}", f"{target.aim:g}") if target.must else ("", "")
        head = f"{target.name:32} {must:>8} {aim:>8}"
        if not values:
            lines.append(f"{head} {'-':>9} {'':>17}           not measured: {not_measured.get(target.name, 'unknown')}")
            continue
        value = statistics.median(values)
        spread = f"{_short(min(values))} .. {_short(max(values))}" if len(values) > 1 else "one round"
        lines.append(f"{head} {_short(value):>9} {spread:>17}  {judge(target, value):7}  {target.says}")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def render_json(measured: Mapping[str, Sequence[float]], targets: Sequence[Target] = TARGETS) -> str:
    """Return the medians as one flat JSON object on one line."""
    known = {target.name for target in targets}
    assert measured.keys() <= known, measured.keys() - known
    medians = {name: round(statistics.median(values), 4) for name, values in measured.items() if values}
    return json.dumps(medians)
