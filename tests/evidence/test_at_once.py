"""What two processes, a retry or a stopped machine may not do: keep a lock, sign twice, or sign for what never was."""

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import DBAPIError

from evidence_store import app_keys, database, ledger, storage, waiting
from evidence_store.app import _finish_sealing
from evidence_store.backup import backup, restore
from evidence_store.database import METADATA, Database
from evidence_store.model import Run, RunKind, Upload
from evidence_store.nodes import storage as nodes
from evidence_store.nodes.model import Node
from evidence_store.nodes.service import forget
from evidence_store.rotate import _begin, rotate
from evidence_store.scrub import _finish, _note
from evidence_store.sealing import signing
from evidence_store.seals import is_own
from evidence_store.verify import unseen, verify
from tests.evidence.conftest import INCIDENT, SEGMENT, Wire, both_databases, jpeg, sha256
from tests.evidence.test_ledger import change
from tests.evidence.test_older_backups import new_store
from tests.evidence.test_seals import DATA, Way, actions, put_back, rows_of, way

__all__ = ["way"]
on_postgresql = pytest.mark.parametrize("evidence_database", ["postgresql"], indirect=True)


# --- locks


@on_postgresql
async def test_a_process_that_was_stopped_in_a_transaction_keeps_nobody_from_the_ledger(wire: Wire, monkeypatch):
    """Of a machine that lost its power PostgreSQL asks in seconds; whoever only says nothing more is sent away."""
    settings = database._SILENCE
    assert int(settings["tcp_keepalives_idle"]) * int(settings["tcp_keepalives_count"]) <= 60
    monkeypatch.setattr(database, "_SILENCE", settings | {"idle_in_transaction_session_timeout": "500ms"})
    stopped = Database(wire.store.settings.database_url)

    async def stop_in_the_middle() -> None:
        async with stopped.begin() as db:
            await ledger.read_head(db, lock=True)
            await wire.put(signing.new_id(), DATA)  # has its line, which waits for the head
            await db.execute(select(1))

    with pytest.raises(DBAPIError):
        await stop_in_the_middle()
    await stopped.dispose()


async def test_what_was_taken_in_is_let_go_though_the_database_fails_behind_it(wire: Wire, monkeypatch):
    async def fails(*_given: object) -> None:
        raise OSError(errno.EIO, "the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "list_stagings", fails)
        given = wire.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(b"other"),
            "Content-Type": "image/jpeg",
        }  # fmt: skip
        async with wire.http.put(f"/evidence/v1/objects/{signing.new_id()}", headers=given, data=DATA) as answer:
            assert answer.status == 500
    [name] = [name for name in wire.store.backend.list_incoming() if name.startswith("put-")]
    wire.store.backend.lock(name).release()
    await wire.app[app_keys.UPLOADS].sweep()
    assert name not in wire.store.backend.list_incoming()


# --- what is tried again


async def test_an_upload_that_cannot_be_sealed_is_told_once_and_keeps_no_other_one_waiting(wire: Wire, clock):
    broken, auth = await wire.create(DATA)
    await wire.patch(broken, auth, 0, DATA)
    sound, auth = await wire.create(DATA, grant=wire.grant())
    await wire.patch(sound, auth, 0, DATA)
    ids = [path.rsplit("/", 1)[1] for path in (broken, sound)]
    wire.store.keys.ingest_key(ids[0]).unlink()
    for _ in range(3):
        clock.move(minutes=11)
        await wire.app[app_keys.UPLOADS].sweep()
    assert await actions(wire, ids[0]) == ["upload opened", "damaged"]
    assert await actions(wire, ids[1]) == ["upload opened", "received"]


async def test_an_object_whose_disk_fails_keeps_no_store_from_starting_and_no_other_one_waiting(wire: Wire, way: Way):
    ids = sorted([await way.put(), await way.put()])
    way.open()
    publish = wire.store.backend.publish

    def fails(name: str, object_id: str) -> None:
        if object_id == ids[0]:
            raise OSError(errno.EIO, "the disk is broken here")
        publish(name, object_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire.store.backend, "publish", fails)
        await _finish_sealing(wire.store)
    assert await actions(wire, ids[0]) == []
    assert await actions(wire, ids[1]) == ["received"]
    await _finish_sealing(wire.store)
    assert await actions(wire, ids[0]) == ["received"]


# --- what two do at once


@both_databases
async def test_two_scrubs_on_one_run_end_it_once_and_the_later_one_does_not_open_it_again(wire: Wire, clock):
    run = Run(id=signing.new_id(), kind=RunKind.SCRUB, started_at=clock())
    async with wire.store.database.begin() as db:
        assert await storage.take_up_run(db, run) == run
        assert await storage.take_up_run(db, Run(signing.new_id(), RunKind.SCRUB, clock())) == run
    await _finish(wire.store, run)
    await _note(wire.store, run, [], [])
    async with wire.store.database.read() as db:
        assert await storage.find_newest_run(db, RunKind.SCRUB, finished=False) is None
    await _finish(wire.store, run)
    assert (await actions(wire)).count("verified") == 1


async def test_two_rotations_that_begin_at_once_are_one_with_one_new_key(wire: Wire):
    first = await _begin(wire.store)
    keys = wire.store.keys.ring.opening_ids
    assert await _begin(wire.store) == first
    assert wire.store.keys.ring.opening_ids == keys
    assert (await actions(wire)).count("key rotation started") == 1


async def test_a_key_that_another_node_wrapped_at_the_same_moment_is_not_called_damaged(wire: Wire, monkeypatch):
    await wire.upload(DATA)
    replace_key, calls = wire.store.backend.replace_key, list[str]()

    def beaten(object_id: str, wrapped: bytes) -> None:
        calls.append(object_id)
        if len(calls) == 1:
            raise FileExistsError(errno.EEXIST, "another is in the bucket already")
        replace_key(object_id, wrapped)

    monkeypatch.setattr(wire.store.backend, "replace_key", beaten)
    run = await rotate(wire.store, progress=unseen)
    assert (run.objects, run.faults, "damaged" in await actions(wire)) == (1, 0, False)


async def test_bytes_for_an_upload_that_was_given_up_with_its_node_are_not_acknowledged(wire: Wire):
    data = jpeg(2 * SEGMENT)
    path, auth = await wire.create(data)

    async def body() -> AsyncIterator[bytes]:
        yield data[:SEGMENT]
        await change(wire, "UPDATE uploads SET state = 'expired'")
        yield data[SEGMENT:]

    given = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    async with wire.http.patch(path, headers=given, data=body()) as answer:
        assert answer.status == 410
    async with wire.http.head(path, headers=auth) as answer:
        assert answer.status == 410


@both_databases
async def test_what_two_processes_seal_at_their_first_start_keeps_the_newer_words(wire: Wire, monkeypatch):
    path, auth = await wire.create(DATA)
    upload_id = path.rsplit("/", 1)[1]
    async with wire.store.database.read() as db:
        stale = await storage.find_upload(db, upload_id)
    assert stale is not None
    await wire.patch(path, auth, 0, DATA)  # the other process sealed it, and its sender sent the rest

    async def pages(_db: object) -> AsyncIterator[list[Upload]]:
        yield [Upload(**vars(stale) | {"seal": ""})]

    with monkeypatch.context() as patch:
        patch.setattr(waiting, "_pages", pages)
        async with wire.store.database.begin() as db:
            assert await waiting.adopt(wire.store, db) == 0
    assert (await wire.digest(path, auth, sha256(DATA)))["state"] == "received"


# --- rows that are not believed


async def test_of_a_forged_row_nothing_is_signed_when_its_node_is_forgotten(wire: Wire, clock):
    path, _ = await wire.create(DATA)
    [row] = await rows_of(wire, "uploads")
    gone, forged = signing.new_id(), row | {"id": signing.new_id(), "incident": "AP-OTHER"}
    await change(wire, insert(METADATA.tables["uploads"]).values(forged))
    await change(wire, update(METADATA.tables["uploads"]).values(node=gone))
    async with wire.store.database.begin() as db:
        await nodes.put_node(db, Node(gone, "", clock(), clock()))
    assert await forget(wire.store, gone) == (2, 0)
    assert await actions(wire, path.rsplit("/", 1)[1]) == ["upload opened", "upload expired"]
    [line] = await wire.lines(forged["id"])
    assert (line["action"], "AP-OTHER" in str(line)) == ("damaged", False)
    assert (await verify(wire.store)).faults == []


async def test_a_restore_says_how_many_rows_it_closed_that_the_store_did_not_write(wire: Wire, tmp_path: Path, clock):
    await wire.create(DATA)
    [row] = await rows_of(wire, "uploads")
    await change(
        wire, insert(METADATA.tables["uploads"]).values(row | {"id": signing.new_id(), "incident": "AP-OTHER"})
    )
    await backup(wire.store, tmp_path / "backup", progress=unseen)
    again = new_store(tmp_path / "new", wire.store.keys, clock)
    assert (await restore(again, tmp_path / "backup", progress=unseen)).faults == []
    async with again.database.read() as db:
        lines = await ledger.list_entries(db, after=0, limit=100, newest=True)
    assert (lines[-1].action, lines[-1].details["unsealed"]) == ("restored", 1)
    await again.close()


@both_databases
async def test_an_ended_uploads_row_that_is_put_back_seal_and_all_is_not_ended_twice(wire: Wire, clock):
    path, auth = await wire.create(DATA)
    [row] = await rows_of(wire, "uploads")
    async with wire.http.delete(path, headers=auth) as answer:
        assert answer.status == 204
    await change(wire, put_back("uploads", row))
    async with wire.store.database.read() as db:
        upload = await storage.find_upload(db, row["id"])
    assert upload is not None
    assert is_own(wire.store.keys.bearer, upload)
    for _ in range(2):
        clock.move(days=8)
        await wire.app[app_keys.UPLOADS].sweep()
    assert await actions(wire, row["id"]) == ["upload opened", "upload terminated", "damaged"]


@both_databases
async def test_a_received_objects_row_that_is_put_back_seal_and_all_is_not_received_twice(wire: Wire, way: Way):
    object_id = await way.put()
    [row] = await rows_of(wire, "objects")
    way.open()
    await _finish_sealing(wire.store)
    await change(wire, put_back("objects", row))
    await _finish_sealing(wire.store)
    assert await actions(wire, object_id) == ["received", "damaged"]
    assert any(object_id in fault for fault in (await verify(wire.store)).faults)
