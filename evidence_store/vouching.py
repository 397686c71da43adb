"""Whether the ledger vouches for what the database says of an object. Asked before anything of the object is given out.

Whoever holds the database and the place of sealed objects can replace a row and the files that it stands for, both at
once, by others that fit each other. The line that says how the object came they cannot replace: its hash is in the tree
whose head the ledger's key signed. Lines are for good, so what was shown once stays shown, and each process asks once.
"""

from collections.abc import Iterator
from dataclasses import replace

from evidence_store import headers, ledger
from evidence_store.database import Connection
from evidence_store.errors import Damaged
from evidence_store.model import Entry, StoredObject
from evidence_store.store import Store, description_of, verdict_of

_MAX_KEPT = 2000


def compare(stored: StoredObject, entry: Entry | None) -> Iterator[str]:
    """Yield in what a row is not as the line says that it names; the header's digest is looked at elsewhere."""
    if entry is None or entry.object != stored.id:
        yield "the ledger does not know it"
        return
    if (entry.action, entry.digest) != (verdict_of(stored), stored.sha256):
        yield "database and ledger differ about it"
    said = {name: value for name, value in entry.details.items() if name != "header_sha256"}
    told = description_of(replace(stored, header_sha256=""))
    if "received_at" not in said:  # written by an earlier version of this program
        del told["received_at"]
    if said != told:
        yield "its description in the database is not the one in the ledger"


async def find_header(store: Store, stored: StoredObject) -> str:
    """Return the digest of an object's header, once the signed ledger was seen to say of the object what the row says.

    It is the ledger's, whatever the row has; empty where an earlier version of this program sealed the object, and no
    scrub has read it since. Raises Damaged.
    """
    row, header_sha256 = store.vouched.get(stored.id, (None, ""))
    if row == stored:
        store.vouched.move_to_end(stored.id)
        return header_sha256
    async with store.database.read() as db:
        header_sha256 = await _find_header(db, store, stored)
    if header_sha256:  # else a scrub may note it at any time
        store.vouched[stored.id] = (stored, header_sha256)
        while len(store.vouched) > _MAX_KEPT:
            store.vouched.popitem(last=False)
    return header_sha256


async def _find_header(db: Connection, store: Store, stored: StoredObject) -> str:
    sequence = stored.sequence or 0
    entry = (await ledger.list_entries_at(db, [sequence])).get(sequence)
    for what in compare(stored, entry):
        raise Damaged(f"object {stored.id}: {what}")
    noted = None
    if entry is not None and not headers.header_in(entry):
        noted = await headers.find_noted(db, stored.id)
    for line in (entry, noted):
        if line is not None and not await ledger.is_signed(db, store.keys.ledger, line):
            raise Damaged(f"object {stored.id}: the ledger's line about it is not in what was signed")
    return headers.header_in(entry) or headers.header_in(noted)
