"""How one participant's link does, both ways: from what passes here, the browser's reports, and its estimate.

Up is what it sends: counted here. Down is what it is sent: counted here too, but what arrived only its receiver reports
tell. They count a packet as lost also when we never had it, because numbers pass through with their gaps; so what
the publisher's own link lost is taken off.

A path that is away for a moment (a tunnel, another network) loses everything, and may carry as much as ever when it is
back. So what it lost then counts on neither way: how long somebody was not heard is told apart from this.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from video_server.relay.ladder import Sight
from video_server.relay.rtcp import ReportBlock
from video_server.relay.streams import Output, Source
from video_server.relay.twcc import ArrivalLog

QUALITY_SECONDS = 5.0
_LOSS_SECONDS = 4.0
_OLD_SECONDS = 10.0
"""Browsers report on sound every 2.5 to 7.5 s, on pictures every second."""

_ENOUGH_PACKETS = 20
"""In a quiet room (DTX) two or three packets a second come, and one lost says nothing."""

_AWAY_SECONDS = 1.0
"""Nothing was heard for this long at a look: what reports call lost meanwhile was lost by a path that was away."""

_ESTIMATE_SECONDS = 5.0
_FALLEN, _RISEN = 0.97, 1.05


class Meter:
    """Figures of one link. Times are monotonic seconds, rates bits per second of payload, losses 0..1."""

    def __init__(self, *, now: float) -> None:
        """Know nothing."""
        self._estimate: int | None = None
        self._estimate_at = 0.0
        self._lowest: int | None = None  # what the estimate fell to; None: it rose since, or never fell
        self._reported: dict[int, tuple[tuple[Source, int], int, int, int, float]] = {}  # by SSRC, see note_block
        self._away_at = -1.0  # when the path was last seen to be away
        self._down_losses = _Losses()
        self._up_losses = _Losses()
        self._octets: dict[Any, int] = {}
        self._looked_at = now
        self._up = self._down = self._up_expected = self._up_lost = self._down_expected = self._down_lost = 0
        self._down_jitter_ms: dict[str, float] = {}
        self._round_trip_ms: float | None = None
        self._told_at = now

    def note_estimate(self, bits_per_second: int, *, now: float) -> None:
        """Keep what the downlink carries by the browser's own reckoning (REMB).

        Browsers reckon by pictures alone, and go on repeating the last figure when there are none: a repetition is
        no news.
        """
        if bits_per_second == self._estimate:
            return
        if self._estimate is not None and bits_per_second < _FALLEN * self._estimate:
            self._lowest = bits_per_second
        elif self._lowest is not None and bits_per_second > _RISEN * self._lowest:
            self._lowest = None
        self._estimate, self._estimate_at = bits_per_second, now

    def note_block(self, output: Output, block: ReportBlock, *, now: float) -> None:
        """Take a receiver report on a stream we send."""
        self._down_jitter_ms[output.kind] = 1000 * block.jitter_ticks / output.clock_rate
        if output.report_sent is not None and block.last_sender_report == output.report_sent[0]:
            round_trip = now - output.report_sent[1] - block.delay_since_last / 65536
            self._round_trip_ms = max(0.0, 1000 * round_trip)
        source = output.source
        if source is None:
            return
        life = (source, source.base)  # another one after a change of source, or when it begins anew
        former = self._reported.get(output.ssrc)
        self._reported[output.ssrc] = (life, block.highest_sequence, block.packets_lost, source.lost, now)
        if former is None or former[0] != life or former[4] <= self._away_at:
            return
        expected = block.highest_sequence - former[1]
        lost = block.packets_lost - former[2] - (source.lost - former[3])
        if 0 < expected < 0x10000:
            lost = min(expected, max(0, lost))
            self._down_losses.note(expected, lost, now=now)
            self._down_expected += expected
            self._down_lost += lost

    def look(
        self,
        sources: Iterable[Source],
        outputs: Iterable[Output],
        arrivals: ArrivalLog | None,
        *,
        heard_at: float,
        now: float,
    ) -> Sight:
        """Return what was seen since the last look, about a second ago.

        arrivals   the publisher's transport-wide numbers; None: it does not send them, its sources must do
        """
        seconds = max(0.001, now - self._looked_at)
        self._looked_at = now
        quiet_seconds = now - heard_at
        if quiet_seconds >= _AWAY_SECONDS:
            self._away_at = now
        counts: dict[Any, int] = {}
        up = sum(self._advance(counts, source) for source in sources)
        down = {"audio": 0, "video": 0}
        pictures = 0
        for output in outputs:
            down[output.kind] += self._advance(counts, output)
            pictures += output.kind == "video" and output.source is not None
        self._octets = counts
        expected, lost = arrivals.sum_up() if arrivals is not None else _sum_lately(sources)
        self._up += up
        self._down += down["audio"] + down["video"]
        self._up_expected += expected
        self._up_lost += lost
        self._up_losses.note(expected, lost, now=now)
        fresh = now - self._estimate_at < _ESTIMATE_SECONDS
        return Sight(
            estimate=self._estimate if fresh else None,
            falling=fresh and self._lowest is not None,
            sound=int(8 * down["audio"] / seconds),
            picture=int(8 * down["video"] / seconds),
            pictures=pictures,
            down_loss=self._down_losses.find(now=now),
            up_loss=self._up_losses.find(now=now),
            quiet_seconds=quiet_seconds,
        )

    def _advance(self, counts: dict[Any, int], stream: Source | Output) -> int:
        """Return the bytes a stream carried since the last look; `counts` takes where it stands now."""
        counts[stream] = stream.octets
        return stream.octets - self._octets.get(stream, 0)

    def sum_up(self, sources: Iterable[Source], rung: str, *, now: float) -> dict[str, Any] | None:
        """Return the data of the `quality` event when one is due, and begin the next five seconds."""
        seconds = now - self._told_at
        if seconds < QUALITY_SECONDS:
            return None
        jitters: dict[str, float] = {each.kind: 1000 * each.jitter_ticks / each.clock_rate for each in sources}
        data = {
            "up": _figures(self._up / seconds, self._up_expected, self._up_lost, jitters),
            "down": _figures(self._down / seconds, self._down_expected, self._down_lost, self._down_jitter_ms),
            "round_trip_ms": None if self._round_trip_ms is None else round(self._round_trip_ms, 1),
            "rung": rung,
        }
        self._told_at = now
        self._up = self._down = self._up_expected = self._up_lost = self._down_expected = self._down_lost = 0
        return data


class _Losses:
    """What was expected and lost lately."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int, int]] = deque(maxlen=64)

    def note(self, expected: int, lost: int, *, now: float) -> None:
        if expected:
            self._counts.append((now, expected, lost))

    def find(self, *, now: float) -> float | None:
        """Return the fraction; None when too little was expected to tell."""
        lately = [each for each in self._counts if now - each[0] <= _LOSS_SECONDS]
        if not lately and self._counts and now - self._counts[-1][0] <= _OLD_SECONDS:
            lately = [self._counts[-1]]
        expected = sum(each[1] for each in lately)
        return sum(each[2] for each in lately) / expected if expected >= _ENOUGH_PACKETS else None


def _sum_lately(sources: Iterable[Source]) -> tuple[int, int]:
    counts = [source.lately for source in sources]
    return sum(expected for expected, _ in counts), sum(lost for _, lost in counts)


def _figures(octets_per_second: float, expected: int, lost: int, jitters: dict[str, float]) -> dict[str, Any]:
    """Jitter is that of the sound, which suffers from it; of the picture where there is no sound."""
    jitter = jitters.get("audio", jitters.get("video", 0.0))
    return {
        "bits_per_second": round(8 * octets_per_second),
        "loss": round(lost / expected, 4) if expected else 0.0,
        "jitter_ms": round(jitter, 1),
    }
