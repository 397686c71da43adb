"""`evidence-store verify`: read the ledger and every object again, and say in plain words what holds."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from evidence_store import headers, ledger, storage
from evidence_store.database import Connection
from evidence_store.errors import Damaged
from evidence_store.model import Action, Entry, ObjectState, StoredObject, is_file_name
from evidence_store.quarantine.model import ReleaseState
from evidence_store.screening.service import UNCHANGED
from evidence_store.sealing import signing
from evidence_store.sealing.reading import SealedObject
from evidence_store.store import Store
from evidence_store.verify_custody import Custody, check_custody
from evidence_store.verify_ledger import Progress, Witness, check_ledger
from evidence_store.vouching import compare
from evidence_store.waiting import find_forged

_PAGE = 1000
_ACTOR = "system:verify"
_SEALED = {Action.RECEIVED, Action.QUARANTINED}
_GOING = {ObjectState.DISPOSING, ObjectState.DISPOSED}


@dataclass
class Report:
    """What was looked at, and every fault found, each one sentence."""

    ledger_lines: int = 0
    objects: int = 0
    bytes_read: int = 0
    checkpoints: int = 0
    """How many checkpoints from elsewhere the ledger was held against."""
    faults: list[str] = field(default_factory=list)
    disposed: set[str] = field(default_factory=set)
    """Objects of which the ledger says that they were disposed of."""
    set_aside: set[str] = field(default_factory=set)
    """Objects of which the ledger says last that they came to quarantine."""
    headers: dict[str, str] = field(default_factory=dict)
    """Digests of headers that the ledger says were noted after the objects came."""

    @property
    def holds(self) -> bool:
        """Say whether nothing is wrong."""
        return not self.faults


def unseen(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


async def verify(
    store: Store, *, read_contents: bool = True, witnesses: Sequence[Witness] = (), progress: Progress = unseen
) -> Report:
    """Check the ledger against all that was signed, what people set against it, then each object and its bytes on disk.

    witnesses  checkpoints kept elsewhere; without them a database put back whole to an older copy cannot be noticed
    """
    report, custody = Report(checkpoints=len(witnesses)), Custody()
    async for found in check_ledger(store.database, store.keys.ledger, witnesses, progress):
        report.faults += found.faults
        report.ledger_lines += len(found.entries)
        await _compare_with_objects(store, found.entries, report)
        for line in found.entries:
            custody.take(line)
    report.faults += await check_custody(store, custody)
    report.faults += await find_forged(store)
    on_disk = set(await store.run(lambda: list(store.backend.list_objects())))
    async with store.database.read() as db:
        total = await storage.count_objects(db)
    async for stored, entry in _all_objects(store, report):
        report.objects += 1
        report.faults += [f"Object {stored.id}: {what}." for what in compare(stored, entry)]
        await _compare_header(store, stored, entry, report)
        await _compare_state(store, stored, report)
        if stored.state in _GOING or stored.id in report.disposed:
            await _compare_disposed(store, stored, report)
            on_disk.discard(stored.id)
            continue
        if stored.id not in on_disk:
            report.faults.append(f"Object {stored.id}: its files are gone.")
            continue
        on_disk.discard(stored.id)
        if read_contents:
            fault = (await reread(store, stored)).fault
            report.faults += [fault] if fault else []
            report.bytes_read += 0 if fault else stored.size_bytes
        progress("objects", report.objects, total)
    left = sorted(on_disk)
    for start in range(0, len(left), _PAGE):
        some = left[start : start + _PAGE]
        async with store.database.read() as db:  # not about names that are none: databases cannot write all of them
            known = await storage.list_sequences(db, [name for name in some if is_file_name(name)])
        report.faults += [
            f"Object {object_id}: it lies on disk, and neither database nor ledger knows it."
            for object_id in some
            if object_id not in known
        ]
    return report


async def note_verified(store: Store, report: Report, *, read_contents: bool) -> None:
    """Say in the ledger that everything holds. What does not is told to people: nothing is written over a trace."""
    if not report.holds:
        return
    async with store.database.begin() as db:
        await store.record(
            db, actor=_ACTOR, action=Action.VERIFIED, object_id="", lines=report.ledger_lines, objects=report.objects,
            bytes=report.bytes_read, contents=read_contents, checkpoints=report.checkpoints, faults=0,
        )  # fmt: skip


async def _compare_disposed(store: Store, stored: StoredObject, report: Report) -> None:
    """An object without files needs the ledger's word for it; an approval is in the ledger before anything goes."""
    async with store.database.read() as db:
        current = await storage.find_object(db, stored.id)
        lines = await _lines_of(db, stored.id)
    approved = any((line.action, line.details.get("outcome")) == (Action.REVIEWED, "approved") for line in lines)
    said = any(line.action == Action.DISPOSED for line in lines)
    state = current.state if current else stored.state
    if not approved:
        report.faults.append(f"Object {stored.id}: the database says it was disposed of, the ledger knows no approval.")
    elif said is not (state is ObjectState.DISPOSED):
        report.faults.append(f"Object {stored.id}: database and ledger differ about its disposal.")
    elif said and await store.run(store.backend.keeps_any, stored.id):
        report.faults.append(f"Object {stored.id}: it was disposed of, and its files are still there.")


async def _compare_with_objects(store: Store, entries: Sequence[Entry], report: Report) -> None:
    sealed = [entry for entry in entries if entry.action in _SEALED]
    for entry in entries:
        if entry.action == Action.HEADER_NOTED:
            report.headers[entry.object] = headers.header_in(entry)
        is_in = _sets_aside(entry)
        if is_in is not None:
            (report.set_aside.add if is_in else report.set_aside.discard)(entry.object)
    report.disposed |= {entry.object for entry in entries if entry.action == Action.DISPOSED}
    async with store.database.read() as db:
        sequences = await storage.list_sequences(db, {entry.object for entry in sealed})
    for entry in sealed:
        if entry.object not in sequences:
            report.faults.append(f"Object {entry.object}: the ledger knows it, the database does not.")
        elif sequences[entry.object] != entry.sequence:
            report.faults.append(f"Object {entry.object}: line {entry.sequence} of the ledger is not the one it names.")


async def _all_objects(store: Store, report: Report) -> AsyncIterator[tuple[StoredObject, Entry | None]]:
    """Yield every sealed object with the line that it names; end at a page with a row that cannot be understood."""
    after = -1
    while True:
        async with store.database.read() as db:
            try:
                page = await storage.list_objects(db, after=after, limit=_PAGE)
            except ValueError as problem:  # a state or a time that is none
                report.faults.append(
                    f"The table of objects holds something that this program never writes ({problem}): no object "
                    f"behind line {max(after, 0)} was checked."
                )
                return
            lines = await ledger.list_entries_at(
                db, [stored.sequence for stored in page if stored.sequence is not None]
            )
        for stored in page:
            yield stored, lines.get(stored.sequence or 0)
            after = stored.sequence or after
        if len(page) < _PAGE:
            return


async def _compare_header(store: Store, stored: StoredObject, entry: Entry | None, report: Report) -> None:
    """The header is the one that its line says, or that was noted later; looked at again, as it may just have been."""
    if entry is None or (headers.header_in(entry) or report.headers.get(stored.id, "")) == stored.header_sha256:
        return
    async with store.database.read() as db:
        current = await storage.find_object(db, stored.id)
        try:
            noted = headers.header_in(await headers.find_noted(db, stored.id))
        except Damaged:  # one of its lines is no line, which the ledger's own check tells
            noted = ""
    if current is None or (headers.header_in(entry) or noted) != current.header_sha256:
        report.faults.append(f"Object {stored.id}: database and ledger differ about the header of its sealed file.")


async def _compare_state(store: Store, stored: StoredObject, report: Report) -> None:
    """An object is where the ledger put it last; looked at again, as it may just have moved."""
    if _state_fits(stored, quarantined=stored.id in report.set_aside):
        return
    async with store.database.read() as db:
        current = await storage.find_object(db, stored.id)
        moves = await _moves_of(db, stored.id)
    if current is None or not _state_fits(current, quarantined=bool(moves and moves[-1])):
        report.faults.append(f"Object {stored.id}: database and ledger differ about where it stands.")


def _state_fits(stored: StoredObject, *, quarantined: bool) -> bool:
    if stored.state in {ObjectState.SEALING, *_GOING}:
        return True
    return (stored.state is ObjectState.QUARANTINED) is quarantined


async def _moves_of(db: Connection, object_id: str) -> list[bool]:
    """Return, for each line that put an object into quarantine or took it out, whether it put it there."""
    return [is_in for line in await _lines_of(db, object_id) if (is_in := _sets_aside(line)) is not None]


async def _lines_of(db: Connection, object_id: str) -> list[Entry]:
    """Return every line of an object; none where one of them is no line, which the ledger's own check tells."""
    try:
        return await ledger.list_all_of(db, object_id)
    except Damaged:
        return []


def _sets_aside(entry: Entry) -> bool | None:
    """Say whether a line puts its object into quarantine (True), takes it out (False), or does neither."""
    outcome = entry.details.get("outcome")
    if entry.action == Action.QUARANTINED:
        return True
    if entry.action == Action.SCREENED and entry.object and outcome != UNCHANGED:
        return outcome == ObjectState.QUARANTINED.value
    released = entry.action == Action.QUARANTINE_REVIEWED and outcome == ReleaseState.RELEASED.value
    return False if released else None


@dataclass(frozen=True)
class Reread:
    """What reading all of an object came to: a sentence when something is wrong, or the digest of its header."""

    fault: str = ""
    header_sha256: str = ""


async def reread(store: Store, stored: StoredObject, *, pace: Callable[[int], None] | None = None) -> Reread:
    """Read an object from its beginning to its end, and compare.

    pace  told of every piece's bytes; may sleep
    """
    opening = store.keys.opening
    if opening is None:
        return Reread(f"Object {stored.id}: cannot be read, this node holds no opening key.")

    def digest() -> tuple[str, str]:
        found = signing.new_sha256()
        with SealedObject(
            store.backend, stored.id, opening, size_bytes=stored.size_bytes, header_sha256=stored.header_sha256
        ) as sealed:
            for piece in sealed.pieces():
                found.update(piece)
                if pace is not None:
                    pace(len(piece))
            return found.hexdigest(), sealed.header_sha256

    try:
        found, header_sha256 = await store.run(digest)
    except Damaged as problem:
        return Reread(f"{str(problem)[:1].upper()}{str(problem)[1:]}.")
    if not signing.same(found, stored.sha256):
        return Reread(f"Object {stored.id}: its bytes do not have the digest they were received with.")
    return Reread(header_sha256=header_sha256)
