"""A day and a clock time as people type them, to an instant; the hours that clock changes remove or repeat."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from video_server.core.errors import N_, Refusal

_DAY_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_DAY_BRITISH = re.compile(r"(\d{1,2})[/. -](\d{1,2})[/. -](\d{4})", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm)?", re.ASCII)


class NotATime(Refusal):
    """Base of what is wrong with a typed day or time."""

    code = "not_a_time"
    status = 422
    public = N_("Enter a real day and a time, like 27/3/2027 and 14:15")


class TimeDoesNotExist(NotATime):
    """The clocks go forward over it."""

    code = "time_does_not_exist"
    public = N_("The clocks go forward in that night and this time does not exist; choose another time")


class TimeIsAmbiguous(NotATime):
    """The clocks go back over it: it comes twice."""

    code = "time_is_ambiguous"
    public = N_("The clocks go back in that night and this time comes twice; choose another time")


def parse_local(day: str, clock: str, zone: ZoneInfo) -> datetime:
    """Return the instant, aware UTC, of a day ("2027-03-27" or "27/3/2027") and a time ("14:15", "2.15pm", "2pm").

    Raises NotATime, TimeDoesNotExist, TimeIsAmbiguous
    """
    return to_instant(_parse_day(day), parse_clock(clock), zone)


def to_instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """Return the only instant at which clocks in `zone` show this. Raises TimeDoesNotExist, TimeIsAmbiguous."""
    naive = datetime.combine(day, clock)
    first, second = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return _to_utc(first)
    if _to_utc(first).astimezone(zone).replace(tzinfo=None) != naive:
        raise TimeDoesNotExist
    raise TimeIsAmbiguous


def local_day(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the instants, in UTC, between which a local day lies (23 to 25 hours), end excluded."""
    starts = (datetime.combine(on, time.min, zone) for on in (day, day + timedelta(days=1)))
    first, last = (_to_utc(start) for start in starts)
    return first, last


def _to_utc(local: datetime) -> datetime:
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise NotATime from None


def _parse_day(typed: str) -> date:
    typed = typed.strip()
    iso, british = _DAY_ISO.fullmatch(typed), _DAY_BRITISH.fullmatch(typed)
    try:
        if iso:
            return date(int(iso[1]), int(iso[2]), int(iso[3]))
        if british:
            return date(int(british[3]), int(british[2]), int(british[1]))
    except ValueError:
        pass
    raise NotATime


def parse_clock(typed: str) -> time:
    """Return a clock time typed as "14:15", "14.15", "2:15pm" or "2pm". Raises NotATime."""
    found = _CLOCK.fullmatch(typed.strip().lower())
    if not found:
        raise NotATime
    hour, minute, half = int(found[1]), int(found[2] or 0), found[3]
    if not half and found[2] is None:
        raise NotATime  # "9" alone could be morning or evening
    if half:
        if not 1 <= hour <= 12:
            raise NotATime
        hour = hour % 12 + (12 if half == "pm" else 0)
    try:
        return time(hour, minute)
    except ValueError:
        raise NotATime from None
