"""`evidence-store backup` and `restore`: a copy, consistent though the store runs, and proved when it is back.

    <target>/evidence.sqlite          every table as it was at one instant, whichever database the store has
    <target>/objects/ab/<id>/…        the sealed files of every object in it
    <target>/backup.json              {"format": 1, "made_at", "objects", "bytes", "checkpoint"}

The database is taken first, in one transaction. What is sealed never changes, so its files may be copied afterwards,
and need not be again the next time; only keys are, since rotation may have wrapped them anew. The store's own keys are
not in a backup: what is in it opens with them alone. Uploads under way are not in it: after a restore they are expired.

A backup may be of an earlier version of the tables. It is never written to, not even opened: a copy of its rows is
brought to this version, and those are restored.
"""

import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from evidence_store import ledger, migrations, storage
from evidence_store.backend import DATA, KEY, Busy, OpenFile, Sealed, flush_folder, write_whole
from evidence_store.backend.folder import copy_sealed
from evidence_store.database import Connection, Database, IntegrityError, copy_rows, is_empty
from evidence_store.errors import CannotStart
from evidence_store.model import Action, ObjectState, Run, RunKind, StoredObject
from evidence_store.nodes import storage as nodes
from evidence_store.objects.service import is_still_there
from evidence_store.sealing import signing
from evidence_store.store import Store
from evidence_store.uploads.endings import draft_expired
from evidence_store.verify import Report, verify
from evidence_store.verify_ledger import Progress
from evidence_store.waiting import adopt, list_strange

FORMAT = 1
_ROWS = "evidence.sqlite"
_ABOUT = "backup.json"
_ASIDE = "restore"
_BATCH = 200
_NOT_EMPTY = "The database is not empty. Restore into a new one: nothing is ever written over."


@dataclass(frozen=True)
class About:
    """What a backup says of itself."""

    made_at: datetime
    objects: int
    bytes: int
    checkpoint: str


async def backup(store: Store, target: Path, *, progress: Progress) -> tuple[Run, list[str]]:
    """Bring the backup in the folder `target` up to this instant; return the run, and what could not be copied."""
    target = _check_target(store, target)
    run = Run(id=signing.new_id(), kind=RunKind.BACKUP, started_at=store.clock())
    part = target / f".{_ROWS}.part"
    try:
        await store.run(_prepare, target, part)
        note = await _copy_database(store, part, progress)
        run, faults = await _copy_objects(store, run, part, target, progress)
        await store.run(_put_in_place, part, target / _ROWS)
        about = {
            "format": FORMAT, "made_at": run.started_at.isoformat(), "objects": run.objects, "bytes": run.bytes,
            "checkpoint": note,
        }  # fmt: skip
        await store.run(write_whole, target / _ABOUT, json.dumps(about, indent=1).encode() + b"\n")
    except OSError as problem:
        raise CannotStart(f"The backup {target} cannot be written ({problem.strerror}).") from None
    run = replace(run, finished_at=store.clock(), faults=len(faults))
    async with store.database.begin() as db:
        await storage.insert_run(db, run)
        await store.record(
            db, actor="system:backup", action=Action.BACKED_UP, object_id="", objects=run.objects, bytes=run.bytes,
            faults=run.faults,
        )  # fmt: skip
    return run, faults


def _check_target(store: Store, target: Path) -> Path:
    target = target.absolute()
    if target.is_relative_to(store.backend.root.absolute()):
        raise CannotStart("A backup inside the data folder would be lost with it: name another place.")
    return target


def _prepare(target: Path, part: Path) -> None:
    (target / "objects").mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in target.glob(f"{part.name}*"):
        left.unlink()


async def _copy_database(store: Store, part: Path, progress: Progress) -> str:
    """Copy all rows of one instant; return the ledger's checkpoint of that instant."""
    copy = Database(f"sqlite+aiosqlite:///{part}")
    try:
        await migrations.upgrade(copy)
        async with store.database.read() as source, copy.begin() as target:
            await copy_rows(source, target, lambda done, total: progress("rows", done, total))
            return (await ledger.read_head(target)).note
    finally:
        await copy.dispose()


async def _copy_objects(store: Store, run: Run, part: Path, target: Path, progress: Progress) -> tuple[Run, list[str]]:
    """Copy the files of every object that the copied database knows."""
    faults: list[str] = []
    copy = Database(f"sqlite+aiosqlite:///{part}")
    try:
        async with copy.read() as db:
            total, after = await storage.count_objects(db), ""
        while True:
            async with copy.read() as db:
                page = await storage.list_objects_by_id(db, after=after, limit=_BATCH)
            if not page:
                return run, faults
            for stored in page:
                fault = await store.run(_copy_object, store, stored, target)
                if fault and await is_still_there(store, stored):
                    faults.append(fault)
                elif not fault:
                    run = replace(run, objects=run.objects + 1, bytes=run.bytes + stored.size_bytes)
            after = page[-1].id
            progress("objects", min(run.objects, total), total)
    finally:
        await copy.dispose()


def _copy_object(store: Store, stored: StoredObject, target: Path) -> str | None:
    folder = target / "objects" / stored.id[:2] / stored.id
    if stored.state is ObjectState.SEALING:
        with contextlib.suppress(FileNotFoundError):  # it got to its place meanwhile
            arriving = store.backend.incoming(stored.staging) / "object"
            _copy(OpenFile(arriving / DATA), lambda: (arriving / KEY).read_bytes(), folder)
            return None
    try:
        _copy(store.backend.open(stored.id), lambda: store.backend.read_key(stored.id), folder)
    except FileNotFoundError:
        if stored.state is ObjectState.SEALING and not store.is_own(stored.node):
            return None  # as good as an upload under way
        return f"Object {stored.id}: its files are gone."
    return None


def _copy(sealed: Sealed, read_key: Callable[[], bytes], folder: Path) -> None:
    with contextlib.closing(sealed):
        copy_sealed(sealed, read_key(), folder)


def _put_in_place(part: Path, final: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.rename(final)
    flush_folder(final.parent)


def read_about(source: Path) -> About:
    """Return what a backup says of itself. Raises CannotStart when it is none, or not complete."""
    try:
        said = json.loads((source / _ABOUT).read_bytes())
        if said["format"] != FORMAT or not (source / _ROWS).is_file():
            raise ValueError("another format")
        return About(datetime.fromisoformat(said["made_at"]), said["objects"], said["bytes"], said["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CannotStart(f"{source} holds no complete backup.") from None


async def restore(store: Store, source: Path, *, progress: Progress) -> Report:
    """Bring a backup back into an empty database and a data folder, then verify all of it and return the report.

    Objects first, rows last and in one transaction: what is interrupted has restored nothing, and can be begun again.
    Raises CannotStart when there is no backup, or one of a newer version, or the database is not empty.
    """
    source, about = await store.run(source.resolve), read_about(source)
    await migrations.upgrade(store.database)
    async with store.database.read() as db:
        if not await is_empty(db):
            raise CannotStart(_NOT_EMPTY)
    try:
        async with _rows_of(store, source) as rows:
            await store.run(_copy_back, store, source, about.objects, progress)
            await _restore_rows(store, rows, about, progress)
    except OSError as problem:
        raise CannotStart(f"The data folder cannot be written ({problem.strerror}).") from None
    except IntegrityError:
        async with store.database.read() as db:
            if await is_empty(db):
                raise
        raise CannotStart(_NOT_EMPTY) from None  # another process began to write there meanwhile
    return await verify(store, progress=progress)


@asynccontextmanager
async def _rows_of(store: Store, source: Path) -> AsyncIterator[Database]:
    """Give a copy of a backup's rows at this version's tables.

    It lies where things arrive, under a lock: what a kill leaves is cleared by the next restore or the next sweep.
    """
    try:
        lock = await store.run(store.backend.lock, _ASIDE)
    except Busy:
        raise CannotStart("Another restore into this data folder is under way.") from None
    try:
        place = await store.run(store.backend.create_incoming, _ASIDE) / _ROWS
        await store.run(shutil.copyfile, source / _ROWS, place)
        copy = Database(f"sqlite+aiosqlite:///{place}")
        try:
            await migrations.upgrade_foreign(copy, "The backup's database")
            yield copy
        finally:
            await copy.dispose()
    finally:
        await store.run(store.backend.drop_incoming, _ASIDE)
        lock.finish()


def _copy_back(store: Store, source: Path, total: int, progress: Callable[[str, int, int], None]) -> None:
    for done, folder in enumerate(sorted((source / "objects").glob("*/*")), start=1):
        store.backend.adopt(folder, folder.name)
        progress("objects", min(done, total), total)


async def _restore_rows(store: Store, copy: Database, about: About, progress: Progress) -> None:
    now = store.clock()
    async with copy.read() as rows, store.database.begin() as db:
        if not await is_empty(db):
            raise CannotStart(_NOT_EMPTY)
        await copy_rows(rows, db, lambda done, total: progress("rows", done, total))
        head = await ledger.read_head(db)
        await nodes.delete_nodes(db)
        unsealed = len(await list_strange(store, db))  # of before there were seals, under another key, or forged
        expired = await storage.expire_open_uploads(db, now=now)
        drafts = [draft_expired(upload, actor="system:restore", now=now) for upload in expired]
        drafts += await _restore_sealing(store, db, now)
        await adopt(store, db)
        said = {"lines": head.size, "made_at": about.made_at.isoformat()} | ({"unsealed": unsealed} if unsealed else {})
        drafts.append(ledger.Draft(now, "system:restore", Action.RESTORED, details=said))
        await ledger.append(db, store.keys.ledger, drafts)


async def _restore_sealing(store: Store, db: Connection, now: datetime) -> list[ledger.Draft]:
    """Let this node seal what was being sealed then; what lay on another node's disk alone is not in the backup."""
    drafts = []
    for stored in await storage.list_sealing(db):
        if await store.run(store.backend.keeps_any, stored.id):
            await storage.release_sealing(db, stored.id)
            continue
        await storage.delete_sealing(db, stored.id)
        drafts.append(
            ledger.Draft(
                now, "system:restore", Action.UPLOAD_EXPIRED, stored.id,
                details={"incident": stored.incident, "received_bytes": stored.size_bytes, "length": stored.size_bytes},
            )
        )  # fmt: skip
    return drafts
