"""Where a verdict takes an object, and when clamd is asked again. Pure.

A screening moves what waits for it, quarantines what is infected, and lets out what was set aside for want of a verdict
alone. Everything else that is in quarantine is for people to release.
"""

from datetime import datetime, timedelta

from evidence_store.model import ObjectState
from evidence_store.screening.clamd import Screened, Verdict, signatures_made_at

_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)
_LIMITS_RETRY = timedelta(days=1)
_KNOWN = {Verdict.CLEAN.value, Verdict.INFECTED.value}


def place_after(
    state: ObjectState, arrived: ObjectState, before: str, found: Verdict, *, is_known: bool
) -> ObjectState:
    """Return where an object belongs after a verdict.

    arrived   RECEIVED, or QUARANTINED where the sender's digest differed
    before    the verdict until now; empty for none
    is_known  people released it knowing that this very thing was found: that stands
    """
    if found is Verdict.INFECTED:
        return ObjectState.RECEIVED if state is ObjectState.RECEIVED and is_known else ObjectState.QUARANTINED
    if state is ObjectState.SCREENING:
        return ObjectState.RECEIVED if found is Verdict.CLEAN else ObjectState.QUARANTINED
    for_want_of_one = before == Verdict.UNKNOWN.value and arrived is ObjectState.RECEIVED
    if state is ObjectState.QUARANTINED and for_want_of_one and found is Verdict.CLEAN:
        return ObjectState.RECEIVED
    return state


def adds_nothing(before: str, found: Verdict) -> bool:
    """Say whether a verdict is to be left out: that clamd cannot tell today takes away nothing that it told before."""
    return found is Verdict.UNKNOWN and before in _KNOWN


def next_try(found: Screened, attempts: int, *, now: datetime) -> datetime | None:
    """Return when to ask again, None when the verdict stands.

    Beyond the limits stays so until somebody raises them; anything else that kept clamd from telling may pass soon.
    """
    if found.verdict is not Verdict.UNKNOWN:
        return None
    if not found.comes_again:
        return now + _LIMITS_RETRY
    later: timedelta = min(_FIRST_RETRY * 2 ** min(attempts, 10), _LAST_RETRY)
    return now + later


def is_older(engine: str, present: str) -> bool:
    """Say whether a verdict by `engine` is by older signatures than clamd has at present; both are its own words."""
    ours, theirs = signatures_made_at(engine), signatures_made_at(present)
    return engine != present if ours is None or theirs is None else ours < theirs
