"""The safe-contact gate: the one function that decides whether anything may go to a person, when, and how it reads."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from video_server.incidents.model import SafeContact, Wording
from video_server.texts.model import Kind


@dataclass(frozen=True)
class Allowed:
    """It may go now, in this wording."""

    wording: Wording
    at: datetime


@dataclass(frozen=True)
class Later:
    """Not at this hour; `at` is the next instant that the person allows."""

    at: datetime


@dataclass(frozen=True)
class Refused:
    """It may not go at all. reason: "held", "never", "no_hours" (an empty span of hours), "unknown_kind"."""

    reason: str


Decision = Allowed | Later | Refused


def decide(wishes: SafeContact, kind: str, *, held: bool, now: datetime, zone: ZoneInfo) -> Decision:
    """Decide on one text to one person.

    held    contact is on hold: something unsafe came up, and nobody has said yet that texting is safe again
    wishes  hours are local; the start belongs to them, the end does not; an end before the start runs over midnight
    now     aware UTC
    """
    refusal = refuse(wishes, kind, held=held)
    if refusal is not None:
        return refusal
    if _is_within(now.astimezone(zone).time(), wishes):
        return Allowed(wishes.wording, now)
    return Later(_next_start(wishes, now=now, zone=zone))


def refuse(wishes: SafeContact, kind: str, *, held: bool) -> Refused | None:
    """Return the refusal that holds at every hour, or None. A hold comes before every wish."""
    if held:
        return Refused("held")
    if not wishes.may_text:
        return Refused("never")
    if wishes.not_before is not None and wishes.not_before == wishes.not_after:
        return Refused("no_hours")
    if kind not in set(Kind):
        return Refused("unknown_kind")
    return None


def _is_within(clock: time, wishes: SafeContact) -> bool:
    start, end = wishes.not_before or time.min, wishes.not_after
    if end is None:
        return clock >= start
    return start <= clock < end if start < end else clock >= start or clock < end


def _next_start(wishes: SafeContact, *, now: datetime, zone: ZoneInfo) -> datetime:
    """Find the next start by the wall clock: a start that the spring change skips or cuts short waits for a day
    that has it, and one that the autumn change shows twice counts twice (`fold`)."""
    today = now.astimezone(zone).date()
    start = wishes.not_before or time.min
    starts = sorted(
        datetime.combine(today + timedelta(days=days), start, zone).replace(fold=fold).astimezone(UTC)
        for days in range(4)
        for fold in (0, 1)
    )
    return next(at for at in starts if at > now and _is_within(at.astimezone(zone).time(), wishes))
