"""How a call went, in figures: what page and relay say every five seconds, kept by the half minute, summed up later.

Bits and losses are of the way between the participant and the relay, as the relay sees it; freezes, concealed sound and
the size of the picture are what the participant's page got of the others.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

RUNGS = ("full", "smaller", "no_picture", "sound_only", "ring")
"""Where a participant's link stands on the relay's ladder, best first."""

STRETCH = timedelta(seconds=30)
"""So much of a call is kept as one row; so much is lost at most when a process dies."""

_MOST = {"freezes": 1000.0, "concealed": 1.0, "width": 16384.0, "height": 16384.0, "round_trip_ms": 60000.0}


@dataclass(frozen=True)
class Way:
    """One direction: up is from the participant to the relay. `loss` 0 to 1."""

    bits_per_second: float
    loss: float
    jitter_ms: float


@dataclass(frozen=True)
class LinkFigures:
    """What the relay measured of one participant in about five seconds (its event `quality`)."""

    up: Way
    down: Way
    round_trip_ms: float | None
    rung: str


@dataclass(frozen=True)
class PageFigures:
    """What a page says it got of the others since it said so last.

    freezes     times the picture stood still
    concealed   part of the sound that was made up, 0 to 1
    width, height   the largest picture received, px; None: none
    """

    freezes: int
    concealed: float
    width: int | None
    height: int | None
    round_trip_ms: float | None


def parse_page(message: Mapping[str, Any]) -> PageFigures | None:
    """Read a page's message; None when it is not one an honest page sends."""
    values: dict[str, float | None] = {}
    for name, most in _MOST.items():
        value = message.get(name)
        if value is None and name in {"width", "height", "round_trip_ms"}:
            values[name] = None
        elif _is_number(value) and 0 <= float(value) <= most:  # type: ignore[arg-type]
            values[name] = float(value)  # type: ignore[arg-type]
        else:
            return None
    width, height = values["width"], values["height"]
    return PageFigures(
        freezes=int(values["freezes"] or 0),
        concealed=values["concealed"] or 0.0,
        width=int(width) if width else None,
        height=int(height) if height else None,
        round_trip_ms=values["round_trip_ms"],
    )


def parse_link(data: Mapping[str, Any]) -> LinkFigures | None:
    """Read the relay's figures; None when they are not in the agreed shape."""
    up, down, rung, trip = _way(data.get("up")), _way(data.get("down")), data.get("rung"), data.get("round_trip_ms")
    if up is None or down is None or rung not in RUNGS or not (trip is None or _is_number(trip)):
        return None
    return LinkFigures(up, down, None if trip is None else float(trip), str(rung))


def _way(value: Any) -> Way | None:
    if not isinstance(value, Mapping):
        return None
    numbers: list[Any] = [value.get(name) for name in ("bits_per_second", "loss", "jitter_ms")]
    if not all(_is_number(one) and one >= 0 for one in numbers):
        return None
    bits, loss, jitter = map(float, numbers)
    return Way(bits, min(1.0, loss), jitter)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class Stretch:
    """About half a minute of one participant: means over `samples`, freezes in all, the worst rung, the last size."""

    participant_id: str
    began_at: datetime
    ended_at: datetime
    samples: int
    up_bits_per_second: float
    up_loss: float
    up_jitter_ms: float
    down_bits_per_second: float
    down_loss: float
    down_jitter_ms: float
    round_trip_ms: float | None
    rung: str
    freezes: int
    concealed: float
    width: int | None
    height: int | None


@dataclass
class Meter:
    """Gathers one participant's figures and hands them out by the stretch."""

    participant_id: str
    _began_at: datetime | None = None
    _links: list[LinkFigures] = field(default_factory=list)
    _pages: list[PageFigures] = field(default_factory=list)

    def add_link(self, figures: LinkFigures, now: datetime) -> Stretch | None:
        """Take the relay's figures; return a stretch when one is full."""
        self._began_at = self._began_at or now - timedelta(seconds=5)
        self._links.append(figures)
        return self.close(now) if now - self._began_at >= STRETCH else None

    def add_page(self, figures: PageFigures) -> None:
        """Take the page's figures; without the relay's beside them they are dropped at the next stretch."""
        self._pages = [*self._pages, figures][-12:]

    def close(self, now: datetime) -> Stretch | None:
        """Return what has gathered and begin anew; None when nothing has."""
        links, pages, began_at = self._links, self._pages, self._began_at
        self._links, self._pages, self._began_at = [], [], None
        if not links or began_at is None:
            return None
        sizes = [page for page in pages if page.width and page.height]
        measured = [*(one.round_trip_ms for one in links), *(one.round_trip_ms for one in pages)]
        trips = [one for one in measured if one is not None]
        return Stretch(
            participant_id=self.participant_id,
            began_at=began_at,
            ended_at=now,
            samples=len(links),
            up_bits_per_second=_mean(one.up.bits_per_second for one in links),
            up_loss=_mean(one.up.loss for one in links),
            up_jitter_ms=_mean(one.up.jitter_ms for one in links),
            down_bits_per_second=_mean(one.down.bits_per_second for one in links),
            down_loss=_mean(one.down.loss for one in links),
            down_jitter_ms=_mean(one.down.jitter_ms for one in links),
            round_trip_ms=_mean(trips) if trips else None,
            rung=max((one.rung for one in links), key=RUNGS.index),
            freezes=sum(page.freezes for page in pages),
            concealed=_mean(page.concealed for page in pages),
            width=sizes[-1].width if sizes else None,
            height=sizes[-1].height if sizes else None,
        )


@dataclass(frozen=True)
class Summary:
    """One participant's call in figures.

    grade         "good", "fair" or "poor": see `grade`
    lasted        time with figures
    loss, worst_loss   0 to 1: mean, and of the worst half minute; of the worse direction
    concealed     0 to 1
    picture       largest and smallest (width, height) received; None: none
    on_rungs      time on each rung below "full" that was needed
    """

    participant_id: str
    grade: str
    lasted: timedelta
    up_bits_per_second: float
    down_bits_per_second: float
    loss: float
    worst_loss: float
    jitter_ms: float
    round_trip_ms: float | None
    freezes: int
    concealed: float
    largest: tuple[int, int] | None
    smallest: tuple[int, int] | None
    on_rungs: Mapping[str, timedelta]


def summarise(stretches: Sequence[Stretch]) -> list[Summary]:
    """Sum up each participant's stretches, in the order in which they began."""
    by_person: dict[str, list[Stretch]] = {}
    for one in sorted(stretches, key=lambda one: one.began_at):
        by_person.setdefault(one.participant_id, []).append(one)
    return [_summarise(participant, theirs) for participant, theirs in by_person.items()]


def _summarise(participant_id: str, stretches: Sequence[Stretch]) -> Summary:
    trips = [(one.round_trip_ms, one.samples) for one in stretches if one.round_trip_ms is not None]
    sizes = sorted(((one.width, one.height) for one in stretches if one.width and one.height), key=_area)
    rungs: dict[str, timedelta] = {}
    for one in stretches:
        if one.rung != RUNGS[0]:
            rungs[one.rung] = rungs.get(one.rung, timedelta()) + (one.ended_at - one.began_at)
    loss = _weighed((max(one.up_loss, one.down_loss), one.samples) for one in stretches)
    concealed = _weighed((one.concealed, one.samples) for one in stretches)
    trip = _weighed(trips) if trips else None
    return Summary(
        participant_id=participant_id,
        grade=grade(loss=loss, concealed=concealed, round_trip_ms=trip, rungs=rungs),
        lasted=sum((one.ended_at - one.began_at for one in stretches), timedelta()),
        up_bits_per_second=_weighed((one.up_bits_per_second, one.samples) for one in stretches),
        down_bits_per_second=_weighed((one.down_bits_per_second, one.samples) for one in stretches),
        loss=loss,
        worst_loss=max(max(one.up_loss, one.down_loss) for one in stretches),
        jitter_ms=_weighed((max(one.up_jitter_ms, one.down_jitter_ms), one.samples) for one in stretches),
        round_trip_ms=trip,
        freezes=sum(one.freezes for one in stretches),
        concealed=concealed,
        largest=sizes[-1] if sizes else None,
        smallest=sizes[0] if sizes else None,
        on_rungs={name: rungs[name] for name in RUNGS if name in rungs},
    )


def grade(*, loss: float, concealed: float, round_trip_ms: float | None, rungs: Iterable[str]) -> str:
    """Say in one word how a call was. Above 400 ms there and back people talk over each other (ITU-T G.114: 400 one way
    is the most, 150 is fine); with RED opus up to 5 % loss goes mostly unheard."""
    if "sound_only" in rungs or "ring" in rungs or loss > 0.1 or concealed > 0.05 or (round_trip_ms or 0) > 800:
        return "poor"
    if list(rungs) or loss > 0.03 or concealed > 0.02 or (round_trip_ms or 0) > 300:
        return "fair"
    return "good"


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def _weighed(values: Iterable[tuple[float, int]]) -> float:
    listed = list(values)
    weight = sum(samples for _, samples in listed)
    return sum(value * samples for value, samples in listed) / weight if weight else 0.0
