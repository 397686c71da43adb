"""Custody as a picture and in words: who did what when, in lanes, one for each who acted. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from evidence_store.breakglass.model import Glass
from evidence_store.keeping.model import Hold
from evidence_store.model import Action, Entry
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.words import say_actor, say_entry

DRAWN = 60
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


@dataclass(frozen=True)
class Event:
    """One thing that happened. `purpose` is the reason that was given, as typed."""

    at: datetime
    who: str
    what: str
    purpose: str
    shape: str
    sequence: int | None


@dataclass(frozen=True)
class Point:
    """An event in the picture; `left` in percent of its lane's width."""

    left: float
    event: Event


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
        Event(one.at, say_actor(one.actor), say_entry(one, zone), one.purpose, _shape_of(one.action), one.sequence)
        for one in entries
    ]
    for glass in glasses:
        said = gettext("Emergency access to the whole incident")
        found.append(Event(glass.opened_at, say_actor(glass.actor), said, glass.reason, "cross", None))
    for hold in holds:
        if hold.object:
            continue
        said = gettext("Hold placed on the whole incident")
        found.append(Event(hold.placed_at, say_actor(hold.placed_by), said, hold.reason, "bar", None))
        if hold.released_at is not None:
            who, said = say_actor(hold.released_by or ""), gettext("Hold on the whole incident released")
            found.append(Event(hold.released_at, who, said, hold.release_reason, "bar", None))
    return sorted(found, key=lambda event: (event.at, event.sequence or 0))


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
