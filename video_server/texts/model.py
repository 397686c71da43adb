"""A text message on its way: plain values and the words of its life."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class State(StrEnum):
    """due → sending → sent → delivered; failed and void are the other ends.

    sending    claimed by one worker; whether the provider has it is not known yet
    sent       the provider has it; nobody knows yet whether the phone does
    delivered  the provider says that the phone has it ("delivered" is not "read")
    failed     it will not arrive; a person has been told by a task
    void       withdrawn before it left
    """

    DUE = "due"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    VOID = "void"


class Kind(StrEnum):
    """Everything that may be texted; what is not listed here never leaves."""

    BOOKED = "booked"
    MOVED = "moved"
    CANCELLED = "cancelled"
    REMINDER = "reminder"
    INVITED = "invited"  # a guest, to one call


NEEDS_LINK = frozenset({Kind.BOOKED, Kind.MOVED, Kind.REMINDER, Kind.INVITED})
VALUES = frozenset({"reference", "starts_at"})
"""What `values` must hold: the incident's reference, and the appointment's start in ISO 8601 with its offset."""

MOST_TRIES = 6
UNCONFIRMED_AFTER = timedelta(minutes=15)
_WAITS = (timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=4), timedelta(minutes=15))


@dataclass(frozen=True)
class Text:
    """One row of the outbox. It holds no number, no name and no link: these are looked up at hand-over."""

    id: str
    kind: str
    subject: str
    person_id: str
    link_id: str | None
    values: Mapping[str, str]
    due_at: datetime
    expires_at: datetime
    state: State
    attempts: int = 0
    sent_at: datetime | None = None
    settled_at: datetime | None = None
    fault: str | None = None

    @property
    def starts_at(self) -> datetime:
        """Return the start of the appointment that the text is about."""
        return datetime.fromisoformat(self.values["starts_at"])


@dataclass(frozen=True)
class Claim:
    """A text that one worker holds until `until`.

    first_tried_at  when it was first handed over, None before: from then on the provider may have it
    unwanted        withdrawn while a worker held it: not to be tried (again)
    bodies_sha256   digests of every body handed over so far, to know it by at the provider
    """

    id: str
    text: Text
    until: datetime
    first_tried_at: datetime | None
    unwanted: bool
    bodies_sha256: frozenset[str]


@dataclass(frozen=True)
class ScreenText:
    """A message as the demo's phone shows it."""

    id: str
    to: str
    body: str
    at: datetime


def wait_before_try(attempts: int) -> timedelta | None:
    """Return how long to wait after so many failed tries, None when it is time to give up."""
    if attempts >= MOST_TRIES:
        return None
    return _WAITS[min(max(attempts, 1), len(_WAITS)) - 1]
