"""`evidence-store verify`: read the ledger and every object again, and say in plain words what holds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from evidence_store import ledger, storage
from evidence_store.errors import Damaged
from evidence_store.model import Entry, ObjectState, StoredObject
from evidence_store.sealing import signing
from evidence_store.sealing.reading import SealedObject
from evidence_store.store import Store

_PAGE = 1000
_SEALED = {"received", "quarantined"}


@dataclass
class Report:
    """What was looked at, and every fault found, each one sentence."""

    ledger_lines: int = 0
    objects: int = 0
    bytes_read: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Say whether nothing is wrong."""
        return not self.faults


async def verify(store: Store, *, read_contents: bool = True) -> Report:
    """Check the ledger's chain and head, then every object against the ledger and its bytes on disk."""
    report = Report()
    sealed = await _verify_ledger(store, report)
    on_disk = set(await store.run(lambda: list(store.backend.list_objects())))
    async for stored in _all_objects(store):
        report.objects += 1
        entry = sealed.pop(stored.id, None)
        _compare(stored, entry, report)
        if stored.id not in on_disk:
            report.faults.append(f"Object {stored.id}: its files are gone.")
            continue
        on_disk.discard(stored.id)
        if read_contents:
            await _reread(store, stored, report)
    report.faults += [f"Object {i}: the ledger knows it, the database does not." for i in sorted(sealed)]
    async with store.database.read() as db:
        waiting = {stored.id for stored in await storage.list_sealing(db)}
    for object_id in sorted(on_disk - waiting):
        report.faults.append(f"Object {object_id}: it lies on disk, and neither database nor ledger knows it.")
    return report


async def _verify_ledger(store: Store, report: Report) -> dict[str, Entry]:
    sealed: dict[str, Entry] = {}
    sequence, last_hash = 0, ledger.FIRST_HASH
    async with store.database.read() as db:
        head = await ledger.read_head(db)
        while entries := await ledger.list_entries(db, after=sequence, limit=_PAGE):
            report.faults += ledger.check_chain(entries, sequence=sequence, last_hash=last_hash)
            sequence, last_hash = entries[-1].sequence, entries[-1].hash
            report.ledger_lines += len(entries)
            for entry in entries:
                if entry.action in _SEALED and sealed.setdefault(entry.object, entry) is not entry:
                    report.faults.append(f"Object {entry.object}: the ledger says twice that it was sealed.")
    if not ledger.is_head_sealed(store.keys.ledger, head):
        report.faults.append("The ledger's head was not written by a holder of the ledger key.")
    if head[:2] != (sequence, last_hash):
        report.faults.append(f"The ledger should end at line {head[0]} and ends at line {sequence}, or differently.")
    return sealed


async def _all_objects(store: Store) -> AsyncIterator[StoredObject]:
    after = 0
    while True:
        async with store.database.read() as db:
            page = await storage.list_objects(db, incident=None, after=after, limit=_PAGE)
        for stored in page:
            yield stored
            after = stored.sequence or after
        if len(page) < _PAGE:
            return


def _compare(stored: StoredObject, entry: Entry | None, report: Report) -> None:
    if entry is None:
        report.faults.append(f"Object {stored.id}: the ledger does not know it.")
        return
    word = "quarantined" if stored.state is ObjectState.QUARANTINED else "received"
    if (entry.action, entry.digest, entry.sequence) != (word, stored.sha256, stored.sequence):
        report.faults.append(f"Object {stored.id}: database and ledger differ about it.")
    expected = ledger.canonical_json(
        {
            "incident": stored.incident,
            "size_bytes": stored.size_bytes,
            "media_type": stored.media_type,
            "kind": stored.kind,
            "client_digest": stored.client_digest.value,
        }
    )
    if entry.details != expected:
        report.faults.append(f"Object {stored.id}: its description in the database is not the one in the ledger.")


async def _reread(store: Store, stored: StoredObject, report: Report) -> None:
    if store.keys.opening is None:
        report.faults.append(f"Object {stored.id}: cannot be read, this node holds no opening key.")
        return
    opening = store.keys.opening

    def digest() -> str:
        folder = store.backend.object_folder(stored.id)
        with SealedObject(folder, stored.id, opening, size_bytes=stored.size_bytes) as sealed:
            return sealed.sha256_hex()

    try:
        found = await store.run(digest)
    except Damaged as problem:
        report.faults.append(f"{str(problem)[:1].upper()}{str(problem)[1:]}.")
        return
    report.bytes_read += stored.size_bytes
    if not signing.same(found, stored.sha256):
        report.faults.append(f"Object {stored.id}: its bytes do not have the digest they were received with.")
