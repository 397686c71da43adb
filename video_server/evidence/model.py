"""What is asked for and what came: values and decisions; no await, no clock, no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NOTE_CHARACTERS = 300
MOST_REQUESTS = 30
MOST_ITEMS = 40
"""Requests of one appointment, and files begun for one request."""


class Kind(StrEnum):
    """What the officer asks for."""

    PHOTO = "photo"
    VIDEO = "video"
    DOCUMENT = "document"
    AUDIO = "audio"


GROUPS = {Kind.PHOTO: "photo", Kind.VIDEO: "video", Kind.DOCUMENT: "document", Kind.AUDIO: "sound"}
"""What the evidence store calls each kind; a letter may also be photographed."""

MAX_BYTES = {
    Kind.PHOTO: 100_000_000,
    Kind.VIDEO: 8_000_000_000,
    Kind.DOCUMENT: 200_000_000,
    Kind.AUDIO: 1_000_000_000,
}


class RequestState(StrEnum):
    """Where a request stands; the newest file decides, and only the officer withdraws."""

    OPEN = "open"
    UPLOADING = "uploading"
    RECEIVED = "received"
    QUARANTINED = "quarantined"
    WITHDRAWN = "withdrawn"


class ItemState(StrEnum):
    """Where one file stands. UPLOADING from the grant on, though not a byte may have come."""

    UPLOADING = "uploading"
    CANCELLED = "cancelled"
    RECEIVED = "received"
    QUARANTINED = "quarantined"
    REFUSED = "refused"


OPEN_ITEM = frozenset({ItemState.UPLOADING, ItemState.CANCELLED})
"""What the store's report may still change: who cancels may have sent everything already."""

MAY_MOVE = OPEN_ITEM | {ItemState.RECEIVED, ItemState.QUARANTINED}
"""What may change once more: the store screens after it received, and may release what it set aside."""


@dataclass(frozen=True)
class Item:
    """One file. `id` is its object's id in the store; digest, size and type are the store's, None until it reported.

    sent_bytes, total_bytes   what the phone says of its progress; None before it began
    """

    id: str
    request_id: str
    session_id: str
    state: ItemState
    begun_at: datetime
    sent_bytes: int | None
    total_bytes: int | None
    told_at: datetime | None
    size_bytes: int | None
    sha256: str | None
    media_type: str | None
    client_digest: str | None
    reported_at: datetime | None


@dataclass(frozen=True)
class Request:
    """What an officer asked the person of an appointment for. `incident` is the reference, as the store keeps it."""

    id: str
    appointment_id: str
    incident: str
    kind: Kind
    note: str
    max_bytes: int
    state: RequestState
    requested_by: str
    requested_at: datetime
    items: Sequence[Item] = ()


@dataclass(frozen=True)
class Alarm:
    """That somebody opened evidence in the store that is not theirs ("broke the glass"); `id` is the event's.

    object  what was opened; empty for all of the incident
    actor   as the store names who: "token:<name>:<id>", or "staff:<username>:<visit>"
    reason  what they wrote
    until   to when the object stays open to them
    """

    id: str
    object: str
    incident: str
    actor: str
    reason: str
    at: datetime
    until: datetime
    seen_by: str | None = None
    seen_at: datetime | None = None

    @property
    def who(self) -> str:
        """Return the name that the token was given, which is the person's or system's."""
        return self.actor.split(":")[1] if self.actor.count(":") == 2 else self.actor

    @property
    def is_staff(self) -> bool:
        """Say whether it was somebody with an account here, on the store's pages."""
        return self.actor.startswith("staff:")


def clean_note(text: str) -> str:
    """Return a note on one line without control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def state_after(items: Sequence[Item]) -> RequestState:
    """Return where a request stands that was not withdrawn. `items` oldest first."""
    by_state = {ItemState.QUARANTINED: RequestState.QUARANTINED, ItemState.RECEIVED: RequestState.RECEIVED}
    for item in reversed(items):
        if item.state is ItemState.UPLOADING and item.total_bytes is not None:
            return RequestState.UPLOADING
        if item.state in by_state:
            return by_state[item.state]
    return RequestState.OPEN
