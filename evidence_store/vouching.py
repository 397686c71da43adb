"""Whether the ledger vouches for what the database says of an object. Asked before anything of the object is given out,
and before anything of its row is shown.

Whoever holds the database and the place of sealed objects can replace a row and the files that it stands for, both at
once, by others that fit each other. The line that says how the object came they cannot replace: its hash is in the tree
whose head the ledger's key signed. Lines are for good, so what was shown once stays shown, and each process asks once.

Bytes of an object that nothing vouches for stay in. Its row is shown, to whoever must look into it, and told apart.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from evidence_store import headers, ledger, seals, storage
from evidence_store.database import Connection
from evidence_store.errors import Damaged, DamagedHere
from evidence_store.log import get_logger
from evidence_store.model import Action, Entry, ObjectState, StoredObject
from evidence_store.store import Store, description_of, verdict_of

log = get_logger(__name__)
_MAX_KEPT = 2000
_EARLIEST = 100  # lines of an object among which that of its coming is: before it are the lines of its upload
_ARRIVED = {Action.RECEIVED, Action.QUARANTINED}
_UNSIGNED = "the ledger's line about it is not in what was signed"
_NOT_OURS = "its row was not written by this store, or was changed since"


class NotVouched(DamagedHere):
    """Something is not done with an object, since the signed ledger does not say of it what its row says."""

    def __init__(self, object_id: str, fault: str) -> None:
        """Keep what is wrong with the object's row, to be told once the transaction has ended (see `telling`)."""
        super().__init__(
            f"What stands here of object {object_id} is not what the ledger recorded when it came, so this is not "
            "done. Its trail shows what was recorded; run 'evidence-store verify'.",
            about=object_id,
        )
        self.fault = fault


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


async def vouch(store: Store, rows: Sequence[StoredObject], *, actor: str) -> dict[str, bool | None]:
    """Say of each object, by id, whether the signed ledger says of it what its row says; where not, tell it.

    None for what is on its way to its place: the ledger has no line of it yet, the store's own seal is on the row.
    """
    if all(_is_known(store, row) for row in rows):
        return {row.id: True for row in rows}
    async with store.database.read() as db:
        faults = await find_faults(db, store, rows)
    return await tell_all(store, rows, faults, actor=actor)


async def tell_all(
    store: Store, rows: Sequence[StoredObject], faults: Mapping[str, str], *, actor: str
) -> dict[str, bool | None]:
    """Tell what `find_faults` found of these, and say of each what `vouch` does; behind the transaction."""
    sealing = {row.id for row in rows if row.state is ObjectState.SEALING}  # of them their sealing tells: `waiting`
    await tell(store, {one: what for one, what in faults.items() if one not in sealing}, actor=actor)
    return {row.id: row.id not in faults and (True if row.state is not ObjectState.SEALING else None) for row in rows}


async def require(db: Connection, store: Store, stored: StoredObject) -> None:
    """Pass when the signed ledger says of an object what its row says. Raises NotVouched; see `telling`."""
    for fault in (await find_faults(db, store, [stored])).values():
        raise NotVouched(stored.id, fault)


@asynccontextmanager
async def telling(store: Store, *, actor: str) -> AsyncIterator[None]:
    """Around a transaction: what `require` refused in it is told once it has ended."""
    try:
        yield
    except NotVouched as refusal:
        await tell(store, {refusal.about: refusal.fault}, actor=actor)
        raise


async def find_faults(db: Connection, store: Store, rows: Sequence[StoredObject]) -> dict[str, str]:
    """Return a sentence, by id, for each object of which the signed ledger does not say what its row says."""
    waiting = [row for row in rows if row.state is ObjectState.SEALING]
    found = {row.id: f"object {row.id}: {_NOT_OURS}" for row in waiting if not await is_awaited(db, store, row)}
    return found | await _compare_all(db, store, [row for row in rows if row.state is not ObjectState.SEALING])


async def _compare_all(db: Connection, store: Store, rows: Sequence[StoredObject]) -> dict[str, str]:
    """Compare rows with the lines that they name, all in one go; keep those that fit. Return what the others are."""
    asked = [row for row in rows if not _is_known(store, row)]
    found: dict[str, str] = {}
    if not asked:
        return found
    entries = await ledger.list_entries_at(db, [row.sequence for row in asked if row.sequence is not None])
    signed = await ledger.find_signed(db, store.keys.ledger, entries.values())
    for row in asked:
        entry = entries.get(row.sequence or 0)
        what = next(compare(row, entry), "")
        if not what and (entry is None or entry.leaf not in signed):
            what = _UNSIGNED
        if what:
            found[row.id] = f"object {row.id}: {what}"
        else:
            _keep(store, row, headers.header_in(entry))
    return found


async def is_awaited(db: Connection, store: Store, stored: StoredObject) -> bool:
    """Say whether an object is on its way to its place, as this store wrote it, and the ledger knows of no arrival."""
    if not seals.is_own(store.keys.bearer, stored):
        return False
    if not await ledger.knows_any(db, stored.id, _ARRIVED):
        return True
    current = await storage.find_object(db, stored.id)  # another process may have put it there just now
    return current is not None and current.state is not ObjectState.SEALING


async def find_recorded(db: Connection, store: Store, object_id: str) -> Entry | None:
    """Return the signed line that says how an object came, whatever its row says; None where none can be shown."""
    lines = await ledger.list_entries(db, after=0, limit=_EARLIEST, object_id=object_id)
    arrived = [one for one in lines if one.action in _ARRIVED and one.object == object_id]
    signed = await ledger.find_signed(db, store.keys.ledger, arrived)
    return next((one for one in arrived if one.leaf in signed), None)


async def tell(store: Store, faults: Mapping[str, str], *, actor: str) -> None:
    """Say in log, figures and ledger what is wrong with objects' rows, by id; no digest, which is not vouched for."""
    for object_id, what in faults.items():
        log.error("object_not_vouched_for", object=object_id, problem=what)
        store.not_vouched += 1
    await store.record_doubts(faults, actor=actor)


async def find_header(store: Store, stored: StoredObject) -> str:
    """Return the digest of an object's header, once the signed ledger was seen to say of the object what the row says.

    It is the ledger's, whatever the row has; empty where an earlier version of this program sealed the object, and no
    scrub has read it since. Raises Damaged.
    """
    header_sha256 = store.vouched[stored.id][1] if _is_known(store, stored) else ""
    if header_sha256:
        return header_sha256
    async with store.database.read() as db:
        for what in (await _compare_all(db, store, [stored])).values():
            raise Damaged(what)
        return store.vouched[stored.id][1] or await _find_noted(db, store, stored)


async def _find_noted(db: Connection, store: Store, stored: StoredObject) -> str:
    """Return the digest of a header that a scrub noted; empty before that, and asked again: it may at any time."""
    noted = await headers.find_noted(db, stored.id)
    if noted is None:
        return ""
    if not await ledger.is_signed(db, store.keys.ledger, noted):
        raise Damaged(f"object {stored.id}: {_UNSIGNED}")
    _keep(store, stored, headers.header_in(noted))
    return headers.header_in(noted)


def _is_known(store: Store, stored: StoredObject) -> bool:
    known, _ = store.vouched.get(stored.id, (None, ""))
    if known == stored:
        store.vouched.move_to_end(stored.id)
    return known == stored


def _keep(store: Store, stored: StoredObject, header_sha256: str) -> None:
    store.vouched[stored.id] = (stored, header_sha256)
    store.vouched.move_to_end(stored.id)
    while len(store.vouched) > _MAX_KEPT:
        store.vouched.popitem(last=False)
