"""`evidence-store scrub`: read everything again, no faster than asked, and write into the ledger what came of it.

Disks lose bits without saying so; what is read now and then is found damaged while a good backup still exists. A scrub
that was interrupted goes on where it was.

Of objects that an earlier version sealed it notes the digest of their header (see `headers`).
"""

import time
from collections.abc import Callable
from dataclasses import replace

from evidence_store import clock, headers, ledger, storage
from evidence_store.custody.service import acting
from evidence_store.errors import CannotStart
from evidence_store.headers import Look
from evidence_store.log import get_logger
from evidence_store.model import Action, ObjectState, Run, RunKind, StoredObject
from evidence_store.objects.service import is_still_there
from evidence_store.sealing import signing
from evidence_store.store import Store
from evidence_store.verify import Reread, reread
from evidence_store.verify_ledger import Progress

log = get_logger(__name__)
_BATCH = 20
_ACTOR = "system:scrub"
_READABLE = {ObjectState.SCREENING, ObjectState.RECEIVED, ObjectState.QUARANTINED}


class Pace:
    """Sleeps so that no more than so many bytes a second are read, on the average since it was made."""

    def __init__(
        self, bytes_per_second: float, *, now: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._rate, self._now, self._sleep = bytes_per_second, now, sleep
        self._began, self._bytes = now(), 0

    def __call__(self, read_bytes: int) -> None:
        """Take note of bytes that were read; blocking."""
        self._bytes += read_bytes
        ahead = self._bytes / self._rate - (self._now() - self._began)
        if ahead > 0:
            self._sleep(ahead)


async def scrub(store: Store, *, pace: Callable[[int], None] | None, progress: Progress) -> tuple[Run, list[str]]:
    """Read every object; return the finished run and the faults found since it was last begun.

    Raises CannotStart on a node without the opening key.
    """
    if store.keys.opening is None:
        raise CannotStart("This node holds no opening key, so it cannot read what is sealed: scrub on one that does.")
    async with store.database.read() as db:
        total = await storage.count_objects(db)
    async with acting(store) as db:
        fresh = Run(id=signing.new_id(), kind=RunKind.SCRUB, started_at=store.clock())
        run = await storage.take_up_run(db, fresh)
    faults: list[str] = []
    while True:
        async with store.database.read() as db:
            page = await storage.list_objects_by_id(db, after=run.after, limit=_BATCH)
        if not page:
            return await _finish(store, run), faults
        damaged: list[tuple[StoredObject, str]] = []
        unknown: list[tuple[StoredObject, str]] = []
        for stored in page:
            if stored.state not in _READABLE:
                continue
            found = await _read(store, stored, pace)
            if found.fault and await is_still_there(store, stored):
                damaged.append((stored, found.fault))
            elif found.header_sha256:
                unknown.append((stored, found.header_sha256))
            run = replace(run, objects=run.objects + 1, bytes=run.bytes + stored.size_bytes)
            progress("objects", min(run.objects, total), total)
        run = replace(run, after=page[-1].id, faults=run.faults + len(damaged))
        run = await _note(store, run, damaged, unknown)
        faults += [fault for _, fault in damaged]


async def _read(store: Store, stored: StoredObject, pace: Callable[[int], None] | None) -> Reread:
    """Read an object; a header's digest is told only where it is to be noted."""
    found = await reread(store, stored, pace=pace)
    if found.fault or stored.header_sha256:
        return Reread(found.fault)
    seen = await headers.look(store, stored)
    if seen is Look.DIFFERS:
        return Reread(f"Object {stored.id}: database and ledger differ about it, so its header is not noted.")
    return found if seen is Look.NOTE else Reread()


async def _note(
    store: Store, run: Run, damaged: list[tuple[StoredObject, str]], unknown: list[tuple[StoredObject, str]]
) -> Run:
    """Note what came of a page, the headers that were not known and how far the run is, all in one transaction."""
    now = store.clock()
    drafts = [
        ledger.Draft(now, _ACTOR, Action.DAMAGED, stored.id, stored.sha256, details={"what": fault})
        for stored, fault in damaged
    ]
    async with acting(store) as db:
        for stored, header_sha256 in unknown:
            if await storage.note_header(db, stored.id, header_sha256):
                said = {"header_sha256": header_sha256}
                drafts.append(ledger.Draft(now, _ACTOR, Action.HEADER_NOTED, stored.id, stored.sha256, details=said))
                run = replace(run, details={"headers": run.details.get("headers", 0) + 1})
        await storage.update_run(db, run)
        if drafts:
            await ledger.append(db, store.keys.ledger, drafts)
    for stored, _ in damaged:
        log.error("object_damaged", object=stored.id)
    return run


async def _finish(store: Store, run: Run) -> Run:
    run = replace(run, finished_at=store.clock(), after="")
    async with acting(store) as db:
        if await storage.update_run(db, run):  # else another scrub went on with the same run, and said so
            await store.record(
                db, actor=_ACTOR, action=Action.VERIFIED, object_id="", objects=run.objects, bytes=run.bytes,
                faults=run.faults, started_at=run.started_at.isoformat(), **run.details,
            )  # fmt: skip
    return run
