"""The store's values. Times are aware UTC; digests are SHA-256 as hex; ids are 32 hex digits."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from evidence_store.errors import BadRequest, Damaged

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
_FILE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class UploadState(StrEnum):
    """Where an upload stands. After SEALED its object carries on."""

    OPEN = "open"
    SEALED = "sealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    TERMINATED = "terminated"


CLOSED = frozenset({UploadState.REFUSED, UploadState.EXPIRED, UploadState.TERMINATED})
"""How an upload ends that becomes no object."""


class ObjectState(StrEnum):
    """Where an object stands. SEALING is complete and durable, but not yet in its place or in the ledger.

    SCREENING is received, and withheld until it was screened for malware.

    DISPOSING was approved and is being destroyed; DISPOSED has no bytes and no key any more.
    """

    SEALING = "sealing"
    SCREENING = "screening"
    RECEIVED = "received"
    QUARANTINED = "quarantined"
    DISPOSING = "disposing"
    DISPOSED = "disposed"


class ClientDigest(StrEnum):
    """What the sender said about the digest of what it sent."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_GIVEN = "not given"


class Action(StrEnum):
    """What the ledger says was done. The words are for good: lines that hold them are never rewritten."""

    UPLOAD_OPENED = "upload opened"
    UPLOAD_EXPIRED = "upload expired"
    UPLOAD_TERMINATED = "upload terminated"
    """Given up by its sender before the last byte."""
    RECEIVED = "received"
    QUARANTINED = "quarantined"
    SCREENED = "screened"
    """Screened for malware; `outcome` says where the object went."""
    QUARANTINE_REVIEWED = "quarantine reviewed"
    """People decided about an object in quarantine; `outcome` says what."""
    REFUSED = "refused"
    DAMAGED = "damaged"
    VIEWED = "viewed"
    """Metadata, a preview or the audit trail was shown."""
    DOWNLOADED = "downloaded"
    """Original bytes were given out."""
    SHARED = "shared"
    ANNOTATED = "annotated"
    LINKED = "linked"
    HELD = "held"
    RELEASED = "released"
    RETENTION_CHANGED = "retention changed"
    REVIEWED = "reviewed"
    DISPOSED = "disposed"
    EXPORTED = "exported"
    BREAK_GLASS = "break-glass"
    KEY_ROTATION_STARTED = "key rotation started"
    KEY_ROTATED = "key rotated"
    KEY_DESTROYED = "key destroyed"
    HEADER_NOTED = "header noted"
    """All of an object that an earlier version sealed was read: the digest of its sealed file's header is kept now."""
    VERIFIED = "verified"
    BACKED_UP = "backed up"
    RESTORED = "restored"
    TOKEN_ISSUED = "token issued"  # noqa: S105 (no password)
    TOKEN_REVOKED = "token revoked"  # noqa: S105


@dataclass(frozen=True)
class Upload:
    """One upload: it becomes the object of the same id. `sha256` is known once every byte is there.

    seal      the store's own, over what becomes of it (see `seals`)
    metadata  what its sender said of it, word for word; None once it is closed, and where it was not kept yet
    node      on whose disk it lies; empty in rows from before nodes had names
    """

    id: str
    incident: str
    reference: str
    officer: str
    filename: str
    media_type: str
    kinds: tuple[str, ...]
    length: int
    offset: int
    sha256: str | None
    state: UploadState
    created_at: datetime
    touched_at: datetime
    completed_at: datetime | None
    metadata: str | None = None
    node: str = ""
    seal: str = ""


@dataclass(frozen=True)
class StoredObject:
    """One object. `staging` names the folder under incoming/ of `node` while it is SEALING.

    header_sha256   of the sealed file's header: by it nothing else that opens is taken for this object. Empty where an
                    earlier version of this program sealed it, and no scrub has read it since
    seal            the store's own while it is SEALING (see `seals`); then the ledger vouches for it
    """

    id: str
    incident: str
    kind: str
    media_type: str
    filename: str
    reference: str
    officer: str
    size_bytes: int
    sha256: str
    client_digest: ClientDigest
    state: ObjectState
    verdict: ObjectState
    source: str
    staging: str
    sequence: int | None
    received_at: datetime
    sealed_at: datetime | None
    header_sha256: str = ""
    node: str = ""
    seal: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; `leaf` is its exact text, from which all else here was read. `object` may be empty."""

    sequence: int
    at: datetime
    actor: str
    purpose: str
    action: str
    object: str
    digest: str
    details: dict[str, Any]
    leaf: str


class RunKind(StrEnum):
    """The long tasks that leave a trace of how far they are."""

    SCRUB = "scrub"
    RESCREEN = "rescreen"
    ROTATE = "rotate"
    BACKUP = "backup"


@dataclass(frozen=True)
class Run:
    """One long task. `after` is where it goes on when it was interrupted."""

    id: str
    kind: RunKind
    started_at: datetime
    finished_at: datetime | None = None
    after: str = ""
    objects: int = 0
    bytes: int = 0
    faults: int = 0
    details: dict[str, Any] = field(default_factory=dict)


def parse_id(text: str) -> str:
    """Return an object or upload id. Raises BadRequest."""
    return _parse(_ID, text, "An id is 32 lower-case hex digits.")


def is_id(text: str) -> bool:
    """Say whether this is an object's or upload's id."""
    return _ID.fullmatch(text) is not None


def is_file_name(name: str) -> bool:
    """Say whether a name is of the form of those that the store gives to what lies in its folders."""
    return _FILE.fullmatch(name) is not None


def checked_file(name: str) -> str:
    """Return an id or name out of the database that is to name a file. Raises Damaged for one that leads elsewhere.

    Whoever can write rows must not choose what the store, which may more, overwrites or removes.
    """
    if not is_file_name(name):
        raise Damaged("a row of the database names a file that is none of the store's")
    return name


def parse_incident(text: str) -> str:
    """Return an incident reference (letters, digits and . _ : / -, at most 64). Raises BadRequest."""
    return _parse(_NAME, text, "An incident is 1 to 64 letters, digits or . _ : / -")


def clean_officer(text: str) -> str:
    """Return who asked for or took evidence, such as a collar number. Raises BadRequest."""
    if len(text) > 64 or not text.isprintable():
        raise BadRequest("An officer is at most 64 characters, such as a collar number.")
    return text.strip()


def clean_filename(text: str) -> str:
    """Return a name fit to be shown and offered for saving: no path, no control characters, at most 200 characters."""
    name = "".join(c for c in text if c.isprintable()).replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    return name[:200] or "unnamed"


def _parse(pattern: re.Pattern[str], text: str, help_text: str) -> str:
    if not pattern.fullmatch(text):
        raise BadRequest(help_text)
    return text
