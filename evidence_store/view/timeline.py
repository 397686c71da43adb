"""Custody as a picture and in words: who did what when, in lanes, one for each who acted. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from evidence_store.breakglass.model import Glass
from evidence_store.keeping.model import Hold
from evidence_store.model import Action, Entry
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.words import say_actor, say_day, say_entry

DRAWN = 40
"""How many events the picture shows, the newest; the words beside it show all that were asked for."""

SHAPES = {
    "square": N_("came in"),
    "ring": N_("looked at"),
    "triangle": N_("given out"),
    "diamond": N_("labelled, noted, linked"),
    "bar": N_("held, kept, reviewed, released"),
    "cross": N_("refused, damaged, disposed of, emergency access"),
}
"""Each kind of event has a shape of its own: colour alone tells nobody anything."""

_SHAPE_OF = {
    Action.UPLOAD_OPENED: "square",
    Action.RECEIVED: "square",
    Action.SCREENED: "square",
    Action.VIEWED: "ring",
    Action.HEADER_NOTED: "ring",
    Action.DOWNLOADED: "triangle",
    Action.SHARED: "triangle",
    Action.EXPORTED: "triangle",
    Action.ANNOTATED: "diamond",
    Action.LINKED: "diamond",
    Action.HELD: "bar",
    Action.RELEASED: "bar",
    Action.RETENTION_CHANGED: "bar",
    Action.REVIEWED: "bar",
    Action.QUARANTINE_REVIEWED: "bar",
}
_ALARMS = {Action.DAMAGED, Action.BREAK_GLASS}


@dataclass(frozen=True)
class Event:
    """One thing that happened. `purpose` is the reason that was given, as typed.

    times   how often it did, when one person looked again and again; then `last_at` and `last_sequence` are of the last
    """

    at: datetime
    who: str
    what: str
    purpose: str
    shape: str
    sequence: int | None
    action: str = ""
    times: int = 1
    last_at: datetime | None = None
    last_sequence: int | None = None


@dataclass(frozen=True)
class Day:
    """What happened on one day where the force is."""

    said: str
    events: list[Event]


@dataclass(frozen=True)
class Glance:
    """Custody in figures: what somebody wants to know before they read any of it. Each newest event, or None.

    looks, lookers  how often it was looked at, and by how many people or systems
    given_out       how often an original left the store, alone or in a court package
    """

    arrived: Event | None
    looks: int
    lookers: int
    last_look: Event | None
    given_out: int
    last_given_out: Event | None
    alarms: list[Event]


@dataclass(frozen=True)
class Point:
    """An event in the picture; `left` in percent of its lane's width."""

    left: float
    event: Event


@dataclass(frozen=True)
class NewDay:
    """Where another day begins in the picture."""

    left: float
    said: str


@dataclass(frozen=True)
class Lane:
    """All that one of them did, in the picture."""

    who: str
    points: list[Point]


def events_of(
    entries: Sequence[Entry], holds: Sequence[Hold], glasses: Sequence[Glass], *, zone: ZoneInfo
) -> list[Event]:
    """Return what happened to one object, oldest first.

    holds   on the object; those on its whole incident have no line under the object's own id, so they are told of here
    glasses broken over its whole incident, likewise
    """
    found = [
        Event(
            one.at,
            say_actor(one.actor),
            say_entry(one, zone),
            one.purpose,
            _shape_of(one.action),
            one.sequence,
            one.action,
        )
        for one in entries
    ]
    for glass in glasses:
        said = gettext("Emergency access to the whole incident")
        who, action = say_actor(glass.actor), Action.BREAK_GLASS
        found.append(Event(glass.opened_at, who, said, glass.reason, "cross", None, action))
    for hold in holds:
        if hold.object:
            continue
        said = gettext("Hold placed on the whole incident")
        found.append(Event(hold.placed_at, say_actor(hold.placed_by), said, hold.reason, "bar", None))
        if hold.released_at is not None:
            who, said = say_actor(hold.released_by or ""), gettext("Hold on the whole incident released")
            found.append(Event(hold.released_at, who, said, hold.release_reason, "bar", None))
    return sorted(found, key=lambda event: (event.at, event.sequence or 0))


def gather(events: Iterable[Event], zone: ZoneInfo) -> list[Event]:
    """Return the events with one person's looks on one day told once, as long as nobody did anything in between.

    Twenty looks say no more than one, and hide the one line in between that somebody must see.
    """

    def run_of(event: Event) -> object:
        return (event.who, event.purpose, say_day(event.at, zone)) if event.shape == "ring" else event

    found = []
    for _, run in groupby(events, run_of):
        alike: dict[str, list[Event]] = {}
        for event in run:
            alike.setdefault(event.what, []).append(event)
        found += [_told_once(same) for same in alike.values()]
    return found


def _told_once(alike: Sequence[Event]) -> Event:
    first, last = alike[0], alike[-1]
    return replace(first, times=len(alike), last_at=last.at, last_sequence=last.sequence) if alike[1:] else first


def days_of(events: Iterable[Event], zone: ZoneInfo) -> list[Day]:
    """Return the events by the day on which they happened."""
    return [Day(said, list(of)) for said, of in groupby(events, lambda event: say_day(event.at, zone))]


def glance(events: Sequence[Event]) -> Glance:
    """Return custody in figures; of events that were not gathered."""
    looks = [event for event in events if event.shape == "ring"]
    out = [event for event in events if event.action in {Action.DOWNLOADED, Action.SHARED}]
    return Glance(
        arrived=next((event for event in events if event.action in {Action.RECEIVED, Action.QUARANTINED}), None),
        looks=len(looks), lookers=len({event.who for event in looks}), last_look=looks[-1] if looks else None,
        given_out=len(out), last_given_out=out[-1] if out else None,
        alarms=[event for event in events if event.action in _ALARMS],
    )  # fmt: skip


def new_days(events: Sequence[Event], zone: ZoneInfo) -> list[NewDay]:
    """Return where in the picture another day begins."""
    drawn = events[-DRAWN:]
    days = [say_day(event.at, zone) for event in drawn]
    return [
        NewDay(round(place * 100 / len(drawn), 2), days[place])
        for place in range(1, len(drawn))
        if days[place] != days[place - 1]
    ]


def lanes_of(events: Sequence[Event]) -> list[Lane]:
    """Return the picture of the newest events: side by side in their order, a lane for each who acted."""
    drawn = events[-DRAWN:]
    lanes: dict[str, list[Point]] = {}
    for place, event in enumerate(drawn):
        left = round((place + 0.5) * 100 / len(drawn), 2)
        lanes.setdefault(event.who, []).append(Point(left, event))
    return [Lane(who, points) for who, points in lanes.items()]


def _shape_of(action: str) -> str:
    try:
        return _SHAPE_OF.get(Action(action), "cross")
    except ValueError:
        return "cross"
