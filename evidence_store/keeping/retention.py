"""How long an object is kept: the longest of its classes wins. Pure."""

from collections.abc import Iterable
from datetime import datetime

from evidence_store.keeping.model import Assigned


def keep_until(assigned: Iterable[Assigned]) -> datetime | None:
    """Return when an object's retention ends; None while no end is known.

    No end is known when no class was given yet, and when one of them keeps for good.
    """
    ends = [None if one.years is None else add_years(one.starts_at, one.years) for one in assigned]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def add_years(at: datetime, years: int) -> datetime:
    """Return the same day `years` later; from 29 February to 1 March where there is none. At most the year 9999."""
    year = min(at.year + years, 9999)
    try:
        return at.replace(year=year)
    except ValueError:
        return at.replace(year=year, month=3, day=1)
