"""The diary by quarter hours: which starts are open, and why a start is refused. Decisions only."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from video_server.appointments.model import Slot
from video_server.core.errors import N_, Conflict, Refusal
from video_server.core.force import Force

QUARTER = timedelta(minutes=15)

Busy = Mapping[str, Collection[datetime]]
"""Officer id to the starts of the quarters that are taken."""


class SlotNotOffered(Refusal):
    """Nobody can be booked at this time."""

    code = "slot_not_offered"
    status = 422
    public = N_("There are no appointments at this time; choose another")


class SlotInPast(SlotNotOffered):
    code = "slot_in_past"
    public = N_("This time has passed; choose a later one")


class SlotTooSoon(SlotNotOffered):
    code = "slot_too_soon"
    public = N_("This is too soon for an officer to be ready; choose a later time")


class SlotTooFar(SlotNotOffered):
    code = "slot_too_far"
    public = N_("This is further ahead than appointments are booked; choose an earlier day")


class SlotNotOnQuarter(SlotNotOffered):
    code = "slot_not_on_quarter"
    public = N_("Appointments start at a quarter hour, like 14:00, 14:15, 14:30 or 14:45")


class SlotOutsideHours(SlotNotOffered):
    code = "slot_outside_hours"
    public = N_("There are no appointments at this hour; choose a time when officers are on duty")


class SlotTaken(Conflict):
    """Somebody else has it. `others` are the next times that are still free."""

    code = "slot_taken"
    public = N_("Somebody else has just taken this time; choose another")

    def __init__(self, others: Sequence[Slot] = ()) -> None:
        super().__init__()
        self.others = tuple(others)


def quarters_of(starts_at: datetime, ends_at: datetime) -> list[datetime]:
    """Return the start of each quarter hour that [starts_at, ends_at) touches, in order."""
    first = _quarter_at(starts_at)
    count = -((first - ends_at) // QUARTER)
    return [first + n * QUARTER for n in range(count)]


def _quarter_at(at: datetime) -> datetime:
    """Return the start of the quarter hour that an instant lies in."""
    at = at.astimezone(UTC)
    return at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


def opening(day: date, force: Force) -> tuple[datetime, datetime]:
    """Return when the diary opens and closes on a local day, in UTC; closing at or before opening means the next day.

    The clocks may change in between: the two instants are then 23 or 25 hours of real time apart for a whole day.
    """
    last = day if force.diary_closes > force.diary_opens else day + timedelta(days=1)
    opens = datetime.combine(day, force.diary_opens, force.timezone)
    closes = datetime.combine(last, force.diary_closes, force.timezone)
    return opens.astimezone(UTC), closes.astimezone(UTC)


def starts_of(day: date, force: Force) -> Iterator[datetime]:
    """Yield each quarter hour of a local day that leaves room for a whole appointment."""
    opens, closes = opening(day, force)
    start = _quarter_at(opens)
    if start < opens:
        start += QUARTER
    while start + force.appointment_length <= closes:
        yield start
        start += QUARTER


def check_offered(starts_at: datetime, *, now: datetime, force: Force) -> None:
    """Raise the SlotNotOffered that says why no appointment starts then; return when one may."""
    if starts_at <= now:
        raise SlotInPast
    if starts_at - now < force.notice:
        raise SlotTooSoon
    if starts_at - now > force.book_ahead:
        raise SlotTooFar
    if starts_at != _quarter_at(starts_at):
        raise SlotNotOnQuarter
    day = starts_at.astimezone(force.timezone).date()
    if all(starts_at not in starts_of(on, force) for on in (day, day - timedelta(days=1))):
        raise SlotOutsideHours


def open_slots(officer_ids: Sequence[str], busy: Busy, *, now: datetime, force: Force) -> Iterator[Slot]:
    """Yield the starts still open, soonest first, each with the officers free for the whole length.

    officer_ids  everybody on video duty: all of them, seven days a week
    busy         quarters taken, by officer
    now          aware UTC; starts less than the force's notice ahead are withheld
    """
    day = now.astimezone(force.timezone).date() - timedelta(days=1)  # yesterday's diary may close after midnight
    last = (now + force.book_ahead).astimezone(force.timezone).date()
    while day <= last:
        for start in starts_of(day, force):
            if force.notice <= start - now <= force.book_ahead and start > now:
                quarters = quarters_of(start, start + force.appointment_length)
                free = tuple(o for o in officer_ids if is_free(busy.get(o, ()), quarters))
                if free:
                    yield Slot(start, free)
        day += timedelta(days=1)


def is_free(taken: Collection[datetime], quarters: Iterable[datetime]) -> bool:
    """Say whether none of the quarters is taken."""
    return not any(quarter in taken for quarter in quarters)


def order_officers(
    officer_ids: Sequence[str], busy: Busy, quarters: Collection[datetime], *, day: tuple[datetime, datetime]
) -> list[str]:
    """Return whom to try first: who looks free, then who has least to do that day; equals keep their order."""

    def rank(officer: str) -> tuple[bool, int]:
        taken = busy.get(officer, ())
        return not is_free(taken, quarters), sum(day[0] <= quarter < day[1] for quarter in taken)

    return sorted(officer_ids, key=rank)
