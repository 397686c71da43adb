"""The store's own seal over a row that waits for the store to act on it: to sign a line, or news, that says the same.

Whoever holds the database can put any row there. So what becomes of an upload, of an object on its way to its place and
of news is read only from a row that has a seal made with `bearer.key`, which no database holds. Pure.
"""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TypeVar

from evidence_store.ledger import written
from evidence_store.model import StoredObject, Upload
from evidence_store.notify.model import Event
from evidence_store.sealing import signing
from evidence_store.webhooks.model import Delivery

Waiting = Upload | StoredObject | Event | Delivery
W = TypeVar("W", bound=Waiting)
_PURPOSES: dict[type, str] = {Upload: "arriving1", StoredObject: "sealing1", Event: "event-row1", Delivery: "hook-row1"}
_MOVING = {"seal", "node", "offset", "touched_at", "metadata", "attempts", "next_at", "made_at"}
"""What changes while a row waits, and says nothing of what becomes of it."""


def sealed(key: bytes, row: W) -> W:
    """Return a row with the seal over what it says."""
    return replace(row, seal=_seal_of(key, row))


def is_own(key: bytes, row: Waiting) -> bool:
    """Say whether a row is as this store wrote it."""
    return signing.same(row.seal, _seal_of(key, row))


def _seal_of(key: bytes, row: Waiting) -> str:
    """What is empty is left out, so that a field which a later version adds changes no seal."""
    said = {name: _plain(value) for name, value in asdict(row).items() if name not in _MOVING and value}
    return signing.seal(key, _PURPOSES[type(row)], said)


def _plain(value: Any) -> Any:
    return written(value) if isinstance(value, datetime) else value
