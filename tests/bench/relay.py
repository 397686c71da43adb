"""Our relay, with each of its forwarders, beside Debian's Janus under the same load, turn by turn: `make bench-relay`.

Both get the same sound and picture from the same participants over ICE, DTLS and AES-256-GCM, each alone on the second
core while the generator has the first. Every round starts fresh processes.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.callers import CALL, PACKETS_PER_SECOND, Caller
from tests.bench.figures import (
    PYTHON,
    MissingTool,
    Sample,
    carries,
    guess_capacity,
    percentile_ms,
    render_json,
    render_table,
    spread_targets,
    summarise,
)
from tests.bench.floor import Floor
from tests.bench.generator import Generator, Result, take_precedence
from tests.bench.janus import JanusProcess
from tests.bench.memory import read_own_mb
from tests.bench.relayed import OurRelay
from video_server.relay.compiled import FORWARDERS
from video_server.relay.transport import find_own_addresses

GENERATOR_CORE, SERVER_CORE = 0, 1
CALLS, FIVES = 30, 6
LATENCY_LIMIT_MS = 5.0
SATURATED_MS = 50.0
FLOOR_FIVES = 36
JOINS_PER_SECOND = 4
FILL_SECONDS = 4.0  # until the relay keeps as much of each stream as it ever will
NOT_INSTALLED = 2
BROWSER_FIGURES = ("join_ms", "fifth_join_ms", "ramp_ms", "kill_recover_ms", "ice_restart_ms")
GOLDEN = 0.6180339887  # spreads phases evenly however many there are


@dataclass(frozen=True)
class Shape:
    """How long to measure."""

    rounds: int
    warm_seconds: float
    seconds: float
    step_seconds: float
    join_seconds: float


FULL = Shape(rounds=3, warm_seconds=0.7, seconds=2.0, step_seconds=1.5, join_seconds=8.0)
QUICK = Shape(rounds=1, warm_seconds=0.5, seconds=1.5, step_seconds=1.0, join_seconds=5.0)


@dataclass(frozen=True)
class Found:
    """What one server did in one round; `limit` counts calls of two."""

    calls: Sample
    limit: int
    fives: Sample
    fan_out_rate: float


Server = JanusProcess | OurRelay
MakeServer = Callable[[Path], Server]


class Load:
    """A server and the generator that drives it with rooms of one size."""

    def __init__(self, server: Server, size: int) -> None:
        self.server, self.size = server, size
        self.generator = Generator()
        self.rooms = 0
        self._callers: list[Caller] = []

    async def grow(self, rooms: int) -> None:
        """Set up rooms until there are so many, several at a time."""
        limit = asyncio.Semaphore(8)

        async def one() -> None:
            async with limit:
                for caller, sends in await self.server.make_room(self.size):
                    participant = caller.hand_over(CALL if sends else ())
                    self.generator.add(participant, phase=len(self._callers) * GOLDEN % 1)
                    self._callers.append(caller)

        await asyncio.gather(*(one() for _ in range(rooms - self.rooms)))
        self.rooms = rooms

    async def close(self) -> None:
        """Hang up."""
        self.generator.close()
        await asyncio.gather(*(caller.close() for caller in self._callers))

    async def measure(self, seconds: float, *, warm: float) -> Sample:
        """Return what the server did in `seconds`."""
        return await measure(self.generator, self.server.pid, self.size, seconds, warm=warm)

    async def find_limit(self, last: Sample, *, p99_ms: float, shape: Shape) -> tuple[int, Sample]:
        """Add rooms until the server carries no more; return how many it carried, and that sample."""
        best, sample = self.rooms, last
        wanted = guess_capacity(self.rooms, last.busy)
        while True:
            await self.grow(wanted)
            for _ in range(2):  # once may be somebody else's doing
                sample = await self.measure(shape.step_seconds, warm=shape.warm_seconds)
                if carries(sample, p99_ms=p99_ms):
                    break
            else:
                return best, last
            best, last = wanted, sample
            wanted += max(1, wanted // 20)


async def measure(generator: Generator, pid: int, size: int, seconds: float, *, warm: float) -> Sample:
    """Run the load and return what the server's process did with it."""
    clock = (~pid << 3) | 2  # the CPU clock of a process, see clock_getcpuclockid(3)
    await generator.run(warm)
    before = time.clock_gettime(clock)
    result = await generator.run(seconds)
    spent = time.clock_gettime(clock) - before
    check(result)
    return summarise(
        result.latency, expected=result.sent * (size - 1), received=result.received, cpu_seconds=spent,
        seconds=result.seconds,
    )  # fmt: skip


def check(result: Result) -> None:
    """Refuse to count a run in which anything but loss went wrong. Raises RuntimeError."""
    if result.not_authentic or result.foreign or result.behind:
        raise RuntimeError(f"the run is worth nothing: {result}")


@asynccontextmanager
async def running(make: MakeServer) -> AsyncIterator[Server]:
    """Start a server that goes before all else on its core."""
    with tempfile.TemporaryDirectory() as folder:
        server = make(Path(folder))
        take_precedence(server.pid)
        try:
            await server.start()
            yield server
        finally:
            await server.stop()


async def measure_server(make: MakeServer, shape: Shape) -> Found:
    """Return what one server does with calls of two and with rooms of five."""
    async with running(make) as server:
        load = Load(server, 2)
        await load.grow(CALLS)
        calls = await load.measure(shape.seconds, warm=2 * shape.warm_seconds)
        limit, _ = await load.find_limit(calls, p99_ms=LATENCY_LIMIT_MS, shape=shape)
        await load.close()
    async with running(make) as server:
        load = Load(server, 5)
        await load.grow(FIVES)
        fives = await load.measure(shape.seconds, warm=2 * shape.warm_seconds)
        _, full = await load.find_limit(fives, p99_ms=SATURATED_MS, shape=shape)
        await load.close()
    found = Found(calls, limit, fives, full.rate)
    say(
        f"  {server.name:8} 30 calls: {calls.cpu_us:5.1f} us/packet, p50 {calls.p50_ms:.3f} p99 {calls.p99_ms:.2f} ms; "
        f"{limit} calls; rooms of five: {fives.cpu_us:5.1f} us/packet, {full.rate:,.0f} packets/s"
    )
    return found


async def measure_floor(host: str, shape: Shape) -> float:
    """Return the packets/s that the generator drives through the bare forwarder in rooms of five."""
    for size, rooms in ((2, CALLS), (5, FLOOR_FIVES)):
        generator, floor = Generator(), Floor(host=host, core=SERVER_CORE)
        people = [each for _ in range(rooms) for each in floor.make_room(size)]
        for number, each in enumerate(people):
            generator.add(each, phase=number * GOLDEN % 1)
        pid = floor.run()
        take_precedence(pid)
        sample = await measure(generator, pid, size, shape.seconds, warm=2 * shape.warm_seconds)
        say(
            f"  floor    {rooms} rooms of {size}: {sample.cpu_us:5.1f} us/packet, p50 {sample.p50_ms:.3f} "
            f"p99 {sample.p99_ms:.2f} ms; {sample.rate:,.0f} packets/s, {sample.loss:.2%} lost"
        )
        floor.stop()
        generator.close()
    return sample.rate if carries(sample, p99_ms=SATURATED_MS) else 0.0


async def measure_joins(make: MakeServer, shape: Shape) -> dict[str, float]:
    """Return what calls under way feel while people join theirs, how fast joins are answered, and memory."""
    async with running(make) as server:
        assert isinstance(server, OurRelay)
        empty = read_own_mb(server.pid)
        load = Load(server, 2)
        await load.grow(CALLS)
        await load.generator.run(FILL_SECONDS)
        full = read_own_mb(server.pid)
        server.answer_seconds.clear()
        run = asyncio.create_task(load.generator.run(shape.join_seconds))
        joined: list[Caller] = []
        began = time.monotonic()
        for number in range(int(shape.join_seconds * JOINS_PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / JOINS_PER_SECOND - time.monotonic()))
            joined.append(await server.join(f"room{1 + number % CALLS}", f"late{number}"))
            if number >= JOINS_PER_SECOND:  # each stays for a second
                before = number - JOINS_PER_SECOND
                await server.leave(f"room{1 + before % CALLS}", f"late{before}")
                await joined[before].close()
        result = await run
        check(result)
        for caller in joined[-JOINS_PER_SECOND:]:
            await caller.close()
        await load.close()
        found = {
            "join_stall_p999_ms": percentile_ms(result.latency, 0.999),
            "answer_ms": 1000 * statistics.median(server.answer_seconds),
            "call_memory_mb": (full - empty) / CALLS,
        }
        say(f"  {server.name:8} {', '.join(f'{name} {value:.2f}' for name, value in found.items())}")
        return found


def compare(ours: Found, janus: Found) -> dict[str, float]:
    """Return our figures, and what they are to Janus'."""
    return {
        "janus_cpu_ratio": ours.calls.cpu_us / janus.calls.cpu_us,
        "janus_cpu_ratio_five": ours.fives.cpu_us / janus.fives.cpu_us,
        "janus_calls_ratio": ours.limit / janus.limit,
        "janus_latency_p99_ratio": ours.calls.p99_ms / janus.calls.p99_ms,
        "calls_per_core": ours.limit,
        "fan_out_pps": ours.fan_out_rate,
        "latency_p50_ms": ours.calls.p50_ms,
        "latency_p99_ms": ours.calls.p99_ms,
    }


async def run(shape: Shape, host: str) -> dict[str, list[float]]:
    """Measure all rounds; return each figure's values, one a round."""
    measured: dict[str, list[float]] = defaultdict(list)

    def make_janus(folder: Path) -> Server:
        return JanusProcess(folder, host=host, core=SERVER_CORE)

    makers: dict[str, MakeServer] = {"janus": make_janus}
    for name in FORWARDERS:
        makers[name] = partial(OurRelay, host=host, core=SERVER_CORE, forwarder=name)
    for number in range(shape.rounds):
        say(f"round {number + 1} of {shape.rounds}")
        floor_rate = await measure_floor(host, shape)
        turn = list(makers) if number % 2 == 0 else list(makers)[::-1]
        found = {name: await measure_server(makers[name], shape) for name in turn}
        if max(each.fan_out_rate for each in found.values()) > floor_rate:
            raise RuntimeError("the generator is the limit: what was measured is worth nothing")
        for name, end in (("compiled", ""), ("python", PYTHON)):
            figures = compare(found[name], found["janus"]) | await measure_joins(makers[name], shape)
            for figure, value in figures.items():
                measured[figure + end].append(value)
    return measured


def find_host() -> str:
    """Return an address of this machine that both servers offer: Janus leaves loopback out."""
    return next(iter(find_own_addresses()))


def say(text: str) -> None:
    """Tell how far it is; what counts comes last."""
    print(text, flush=True)


def measure_browsers() -> dict[str, list[float]]:
    """Return what real browsers see; nothing, said on the way, where there is none. It has both cores."""
    say("browsers")
    found = subprocess.run([sys.executable, "-m", "tests.bench.browser"], stdout=subprocess.PIPE, text=True)
    if found.returncode == NOT_INSTALLED:
        return {}
    found.check_returncode()
    return dict(json.loads(found.stdout.splitlines()[-1]))


def main() -> int:
    """Run the bench; the exit status says whether it could be run, not what it found."""
    shape = QUICK if os.environ.get("QUICK") else FULL
    if len(os.sched_getaffinity(0)) < 2:
        print("Two cores are needed: one for the servers, one for the load.", file=sys.stderr)
        return NOT_INSTALLED
    seen = measure_browsers()
    os.sched_setaffinity(0, {GENERATOR_CORE})
    if not take_precedence(0):
        say("Not allowed to put the bench before other programs: what else runs here is measured too (run as root).")
    say(f"{CALLS} calls of two, {FIVES} rooms of five; each person sends {PACKETS_PER_SECOND:.0f} packets/s.")
    try:
        measured = asyncio.run(run(shape, find_host()))
    except MissingTool as missing:
        print(missing, file=sys.stderr)
        return NOT_INSTALLED
    measured |= seen
    say("")
    missing = dict.fromkeys(BROWSER_FIGURES, "not reached in time" if seen else "no Chromium")
    say("Figures that end in _python are of the forwarder in Python, the default; without it, of the compiled one")
    say("(VIDEO_RELAY_FORWARDER=compiled, after make relay-fast). Browsers meet the default.")
    say(render_table(measured, missing, spread_targets()))
    say(render_json(measured, spread_targets()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
