"""Backups of earlier versions of the tables come back at this one, verified, wherever that is interrupted."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from evidence_store import ledger, storage
from evidence_store.app import open_store, prepare
from evidence_store.backup import backup, restore
from evidence_store.config import load
from evidence_store.database import METADATA, Connection, Database
from evidence_store.errors import CannotStart
from evidence_store.model import Upload, UploadState
from evidence_store.scrub import scrub
from evidence_store.sealing.keys import Keys
from evidence_store.store import Store
from evidence_store.verify import unseen, verify
from evidence_store.vouching import vouch
from tests.conftest import HeldClock
from tests.evidence.conftest import INCIDENT, Wire, jpeg, open_wire
from tests.evidence.earlier import ROWS, make_older, seal_as_before_0011

REVISIONS = [f"{number:04}" for number in range(2, 17)]
"""Those of which there are backups: `backup` came with 0002."""
_WITH_KEEPING = "0004"


@pytest.fixture
async def made(tmp_path: Path, keys: Keys, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Backups of a store on SQLite: one `before` there were labels and holds, one `since`."""
    seal_as_before_0011(monkeypatch)
    given = load(None, data=tmp_path / "old", keys=keys.folder, listen="127.0.0.1:0", preview_workers=0)
    async with open_wire(given, keys, clock) as wire:
        ids = [await wire.upload(jpeg(700 + n, n)) for n in range(2)]
        path, auth = await wire.create(jpeg(5000))
        await wire.patch(path, auth, 0, jpeg(5000)[:100])
        await back_up(wire, tmp_path / "before")
        await wire.ask("PUT", f"/objects/{ids[0]}/label", {"mark": "JS/1", "description": "Photo", "maker": "Jo Smith"})
        await wire.ask("POST", "/holds", {"incident": INCIDENT, "object": ids[0], "reason": "Trial"}, status=201)
        classes = [{"code": "other", "starts_at": "2010-06-01T00:00:00Z"}]
        await wire.ask("PUT", f"/objects/{ids[1]}/retention", {"classes": classes, "reason": "Trial"})
        await back_up(wire, tmp_path / "since")
    return {"before": tmp_path / "before", "since": tmp_path / "since"}


async def back_up(wire: Wire, target: Path) -> None:
    run, faults = await backup(wire.store, target, progress=unseen)
    assert (run.objects, faults) == (2, [])


async def older(made: dict[str, Path], revision: str) -> Path:
    source = made["since" if revision >= _WITH_KEEPING else "before"]
    return await make_older(source, revision, source.with_name(f"of-{revision}"))


def new_store(folder: Path, keys: Keys, clock: HeldClock, database: str = "") -> Store:
    return open_store(load(None, data=folder, keys=keys.folder, database=database), keys, now=clock)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def check_whole(store: Store) -> None:
    """Fail unless everything of the backup is there, at this version's tables, and nothing else."""
    async with store.database.read() as db:
        [upload] = await expired(db)
        assert (upload.offset, upload.length) == (100, 5000)
        waiting = (await db.execute(select(func.count()).select_from(METADATA.tables["media"]))).scalar_one()
        last = (await ledger.list_entries(db, after=0, limit=100))[-1]
    assert waiting == 2
    assert last.action == "restored"
    assert store.backend.list_incoming() == []
    await prepare(store)
    async with store.database.read() as db:
        objects = await storage.list_objects(db, after=0, limit=10)
    assert [*(await vouch(store, objects, actor="ann")).values()] == [True, True]
    run, faults = await scrub(store, pace=None, progress=unseen)
    assert (run.objects, faults) == (2, [])
    assert (await verify(store)).faults == []


async def expired(db: Connection) -> list[Upload]:
    uploads = METADATA.tables["uploads"]
    ids = (await db.execute(select(uploads.c.id).where(uploads.c.state == UploadState.EXPIRED.value))).scalars()
    return [await storage.find_upload(db, upload_id) for upload_id in ids]


async def test_a_backup_of_every_earlier_version_is_restored_and_not_touched(made, tmp_path, keys, clock):
    for revision in REVISIONS:
        source = await older(made, revision)
        before = files_of(source)
        store = new_store(tmp_path / f"new-{revision}", keys, clock)
        try:
            assert (await restore(store, source, progress=unseen)).faults == [], revision
            await check_whole(store)
        finally:
            await store.close()
        assert files_of(source) == before, revision


@pytest.mark.parametrize("evidence_database", ["postgresql"], indirect=True)
async def test_an_older_backup_is_restored_into_postgresql(made, tmp_path, keys, clock, evidence_database):
    store = new_store(tmp_path / "new", keys, clock, evidence_database)
    try:
        assert (await restore(store, await older(made, "0004"), progress=unseen)).faults == []
        await check_whole(store)
    finally:
        await store.close()


@pytest.mark.parametrize("behind", ["migrations.upgrade_foreign", "ledger.append", "verify"])
async def test_a_restore_killed_at_any_step_is_begun_again_or_was_whole(made, tmp_path, keys, clock, behind):
    source, folder = await older(made, "0004"), tmp_path / "new"
    command = [sys.executable, "-m", "tests.evidence.dying", behind, "restore", str(source)]
    where = ["--data", str(folder), "--keys", str(keys.folder)]
    died = await asyncio.create_subprocess_exec(*command, *where, stderr=asyncio.subprocess.PIPE)
    _, problem = await died.communicate()
    assert died.returncode == -signal.SIGKILL, problem.decode()
    store = new_store(folder, keys, clock)
    try:
        if behind == "verify":  # everything was committed
            with pytest.raises(CannotStart, match="not empty"):
                await restore(store, source, progress=unseen)
        else:
            assert store.backend.list_incoming() == ["restore"]
            assert (await restore(store, source, progress=unseen)).faults == []
        await check_whole(store)
    finally:
        await store.close()


async def test_a_backup_of_a_newer_version_or_with_no_database_in_it_is_refused_plainly(made, tmp_path, keys, clock):
    source, store = made["since"], new_store(tmp_path / "new", keys, clock)
    rows = Database(f"sqlite+aiosqlite:///{source / ROWS}")
    async with rows.begin() as db:
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await rows.dispose()
    try:
        with pytest.raises(CannotStart, match="no version that this program knows"):
            await restore(store, source, progress=unseen)
        (source / ROWS).write_bytes(b"no database" * 999)
        with pytest.raises(CannotStart, match="The backup's database cannot be read"):
            await restore(store, source, progress=unseen)
        assert store.backend.list_incoming() == []
    finally:
        await store.close()


async def test_two_restores_into_one_folder_do_not_meet(made, tmp_path, keys, clock):
    store = new_store(tmp_path / "new", keys, clock)
    lock = store.backend.lock("restore")
    try:
        with pytest.raises(CannotStart, match="is under way"):
            await restore(store, made["since"], progress=unseen)
        lock.release()
        assert (await restore(store, made["since"], progress=unseen)).faults == []
    finally:
        await store.close()
