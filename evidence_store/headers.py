"""Digests of sealed files' headers that were not kept when the objects came (before version 0011 of the tables).

Whoever has opened all of such an object and found its recorded bytes has seen the header that belongs to them: it is
bound to the key that opened every segment. So its digest can be noted, and from then on nothing else that opens is
taken for that object. First the ledger, by its signed head, must vouch for the recorded digest: else somebody who
changed file and database would have what they laid there noted as what was received.
"""

from enum import Enum

from evidence_store import ledger, storage
from evidence_store.database import Connection
from evidence_store.model import Action, Entry, StoredObject
from evidence_store.store import Store, verdict_of

_PAGE = 1000


class Look(Enum):
    """What may be done about the digest of an object's header."""

    KEPT = "it is kept by now, or the object is gone"
    NOTE = "the ledger vouches for the object's digest, and knows none of its header"
    DIFFERS = "the ledger does not vouch for the object's digest, or knows one of its header"


async def look(store: Store, stored: StoredObject) -> Look:
    """Say what may be done about an object that was read without knowing its header. Raises HeadForged."""
    async with store.database.read() as db:
        current = await storage.find_object(db, stored.id)
        if current is None or current.header_sha256:
            return Look.KEPT
        return Look.NOTE if await _is_vouched_for(store, db, stored) else Look.DIFFERS


async def _is_vouched_for(store: Store, db: Connection, stored: StoredObject) -> bool:
    sequence = stored.sequence or 0
    entry = (await ledger.list_entries_at(db, [sequence])).get(sequence)
    if entry is None or (entry.object, entry.action) != (stored.id, verdict_of(stored)):
        return False
    if entry.digest != stored.sha256 or header_in(entry) or await find_noted(db, stored.id):
        return False
    ledger.open_head(store.keys.ledger, await ledger.read_head(db))
    return await ledger.is_signed(db, store.keys.ledger, entry)


async def find_noted(db: Connection, object_id: str) -> Entry | None:
    """Return the line by which the digest of an object's header was noted later. Raises Damaged for what is no line."""
    found, after = None, 0
    while lines := await ledger.list_entries(db, after=after, limit=_PAGE, object_id=object_id):
        for line in lines:
            if line.action == Action.HEADER_NOTED:
                found = line
        after = lines[-1].sequence
    return found


def header_in(entry: Entry | None) -> str:
    """Return the digest of an object's header that a line says; empty where it says none."""
    return str(entry.details.get("header_sha256", "")) if entry is not None else ""
