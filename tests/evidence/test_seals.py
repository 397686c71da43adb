"""Somebody who holds the database alone: what waits there is signed as the store wrote it, or not at all."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Executable, insert, select, text, update

from evidence_store import app_keys, seals
from evidence_store.app import _finish_sealing, prepare
from evidence_store.backup import backup, restore
from evidence_store.database import METADATA
from evidence_store.doctor import Grade
from evidence_store.errors import BackendFailed
from evidence_store.sealing import signing
from evidence_store.sealing.keys import load_keys, make_keys
from evidence_store.storage import list_sealing
from evidence_store.verify import unseen, verify
from evidence_store.waiting import find_forged
from evidence_store.webhooks.service import Postman
from tests.evidence import test_webhooks
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256
from tests.evidence.earlier import make_older
from tests.evidence.test_events import Receiver, receiver, send_news
from tests.evidence.test_ledger import change
from tests.evidence.test_older_backups import new_store
from tests.evidence.test_operations import said
from tests.evidence.test_reading import status_of

__all__ = ["receiver"]
DATA = jpeg(5000)


async def actions(wire: Wire, object_id: str = "") -> list[str]:
    return [line["action"] for line in await wire.lines(object_id)]


async def is_reported(wire: Wire, row: str) -> None:
    """Operators are told, by both commands that a timer runs."""
    assert any(fault.startswith(f"{row}: ") for fault in (await verify(wire.store)).faults)
    assert "waiting row is not as this store wrote any" in (await said(wire.store))[Grade.BAD]


async def rows_of(wire: Wire, table: str) -> list[dict[str, Any]]:
    async with wire.store.database.read() as db:
        return [dict(row) for row in (await db.execute(select(METADATA.tables[table]))).mappings()]


# --- news


@both_databases
@pytest.mark.parametrize("seal", ["none", "another's", "its own before the change"])
async def test_news_that_was_forged_in_the_database_is_not_signed_for_the_web_server(
    wire: Wire, receiver: Receiver, seal: str
):
    await wire.put(signing.new_id(), DATA)
    [true] = await rows_of(wire, "events")
    body = json.loads(true["body"]) | {"type": "received", "incident": "AP-OTHER"}
    if seal == "its own before the change":
        forged = true | {"body": json.dumps(body)}
        await change(wire, "DELETE FROM events")
    else:
        forged = true | {"id": signing.new_id(), "body": json.dumps(body), "seal": true["seal"] * (seal != "none")}
    await change(wire, insert(METADATA.tables["events"]).values(forged))
    wire.store.settings = wire.store.settings.model_copy(update={"notify_url": receiver.url})
    for _ in range(2):
        await send_news(wire)
        wire.clock.move(minutes=6)
    assert [json.loads(heard)["incident"] for heard, _ in receiver.heard] == (
        [INCIDENT] if forged["id"] != true["id"] else []
    )
    [line] = [line for line in await wire.lines() if line["action"] == "damaged"]  # once, though it was tried twice
    assert (line["actor"], line["details"]["news"]) == ("system:store", forged["id"])
    await is_reported(wire, forged["id"])
    await change(wire, f"DELETE FROM events WHERE id = '{forged['id']}'")
    assert (await verify(wire.store)).faults == []


@both_databases
async def test_nor_is_it_for_a_webhook(wire: Wire, tmp_path):
    other = test_webhooks.Receiver(tmp_path / "hook")
    try:
        hook = other.hook()
        wire.store.hooks = (hook,)
        postman = Postman(wire.store, resolve=test_webhooks.Names(test_webhooks.HERE))
        await wire.put(signing.new_id(), DATA)
        [true] = await rows_of(wire, "webhook_deliveries")
        body = json.dumps(json.loads(true["body"]) | {"incident": "AP-OTHER"})
        forged = true | {"id": signing.new_id(), "subject": signing.new_id(), "body": body}
        await change(wire, insert(METADATA.tables["webhook_deliveries"]).values(forged))
        assert await postman.deliver_due(hook) == (1, 0)
        assert [one["incident"] for one in other.said] == [INCIDENT]
        await is_reported(wire, forged["id"])
        assert "did not take 1 piece of news" in (await said(wire.store))[Grade.BAD]  # alarmed, as what is given up is
        assert (await actions(wire)).count("damaged") == 1
    finally:
        other.close()


# --- what is on its way to its place


class Way:
    """The way of an object to its place, which the test holds closed."""

    def __init__(self, wire: Wire, patch: pytest.MonkeyPatch) -> None:
        self._wire, self._patch = wire, patch

    def close(self) -> None:
        """Let nothing come to its place."""

        def fails(*_given: object) -> None:
            raise BackendFailed

        self._patch.setattr(self._wire.store.backend, "publish", fails)

    def open(self) -> None:
        """Let everything go on."""
        self._patch.undo()

    async def put(self) -> str:
        """Have an object taken in that does not come to its place."""
        object_id = signing.new_id()
        given = self._wire.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(DATA),
            "Content-Type": "image/jpeg",
        }  # fmt: skip
        async with self._wire.http.put(f"/evidence/v1/objects/{object_id}", headers=given, data=DATA) as answer:
            assert answer.status == 503
        return object_id


@pytest.fixture
def way(wire: Wire) -> Iterator[Way]:
    with pytest.MonkeyPatch.context() as patch:
        way = Way(wire, patch)
        way.close()
        yield way


def put_back(table: str, row: dict[str, Any], **changed: object) -> Executable:
    """Write a row as it was, but for what is changed."""
    there = METADATA.tables[table]
    return update(there).where(there.c.id == row["id"]).values(row | changed)


@both_databases
async def test_an_object_on_its_way_whose_row_was_changed_is_not_signed_for(wire: Wire, way: Way):
    object_id = await way.put()
    [true] = await rows_of(wire, "objects")
    for name, value in {
        "incident": "AP-OTHER", "sha256": sha256(b"other"), "header_sha256": sha256(b"other"), "officer": "PC 1",
        "verdict": "quarantined", "client_digest": "not given", "media_type": "text/plain", "size_bytes": 4,
        "reference": "token:somebody", "source": "upload", "kind": "video", "seal": "",
        "received_at": true["received_at"] - timedelta(days=1),
    }.items():  # fmt: skip
        await change(wire, put_back("objects", true, **{name: value}))
        way.open()
        await _finish_sealing(wire.store)
        assert await actions(wire, object_id) == ["damaged"], name  # once
    await is_reported(wire, object_id)
    assert await status_of(wire, object_id) == 404
    await change(wire, put_back("objects", true))
    await _finish_sealing(wire.store)
    assert await actions(wire, object_id) == ["damaged", "received"]
    assert await status_of(wire, object_id) == 200
    assert (await verify(wire.store)).faults == []


@both_databases
async def test_an_object_that_never_came_is_not_received_because_a_row_and_files_say_so(wire: Wire, way: Way):
    await way.put()
    [true] = await rows_of(wire, "objects")
    forged = true | {"id": signing.new_id(), "staging": f"put-{signing.new_id()}"}
    shutil.copytree(wire.store.backend.incoming(true["staging"]), wire.store.backend.incoming(forged["staging"]))
    await change(wire, insert(METADATA.tables["objects"]).values(forged))
    way.open()
    await _finish_sealing(wire.store)
    assert await actions(wire, true["id"]) == ["received"]
    assert await actions(wire, forged["id"]) == ["damaged"]
    assert not wire.store.backend.keeps_any(forged["id"])


# --- what is arriving


@both_databases
async def test_an_upload_whose_row_was_changed_becomes_no_object_until_it_is_put_right(wire: Wire):
    path, auth = await wire.create(DATA)
    upload_id = path.rsplit("/", 1)[1]
    await wire.patch(path, auth, 0, DATA)
    [true] = await rows_of(wire, "uploads")
    is_first = True
    for name, value in {
        "incident": "AP-OTHER", "reference": "session-2", "officer": "PC 1", "sha256": sha256(b"other"),
        "media_type": "image/png", "filename": "other.jpg", "kinds": '["txt"]', "length": 5001, "seal": "",
    }.items():  # fmt: skip
        await change(wire, put_back("uploads", true, **{name: value}))
        if is_first:
            wire.clock.move(minutes=11)  # from now on a sweep seals it without its sender's digest
            is_first = False
        given = sha256(b"other") if name == "sha256" else sha256(DATA)
        assert (await wire.digest(path, auth, given, status=500))["code"] == "damaged"
        await wire.app[app_keys.UPLOADS].sweep()
        assert await actions(wire, upload_id) == ["upload opened", "damaged"], name
    await is_reported(wire, upload_id)
    await change(wire, put_back("uploads", true))
    await wire.digest(path, auth, sha256(DATA))
    assert await actions(wire, upload_id) == ["upload opened", "damaged", "received"]
    assert await status_of(wire, upload_id) == 200


@both_databases
async def test_an_upload_that_was_never_opened_leaves_no_line_that_says_so(wire: Wire):
    await wire.create(DATA)
    [true] = await rows_of(wire, "uploads")
    forged = true | {"id": signing.new_id(), "incident": "AP-OTHER"}
    await change(wire, insert(METADATA.tables["uploads"]).values(forged))
    wire.clock.move(days=8)
    await wire.app[app_keys.UPLOADS].sweep()
    assert await actions(wire, true["id"]) == ["upload opened", "upload expired"]
    assert await actions(wire, forged["id"]) == ["damaged"]


# --- what waited before there were seals


async def unseal(wire: Wire) -> None:
    for table in ("uploads", "objects", "events"):
        await change(wire, f"UPDATE {table} SET seal = ''")


@both_databases
async def test_what_waited_before_there_were_seals_is_sealed_as_it_stands_and_only_once(wire: Wire, way: Way):
    object_id, (path, auth) = await way.put(), await wire.create(DATA)
    assert (await wire.metadata(object_id))["vouched"] is None
    await unseal(wire)
    assert (await wire.metadata(object_id))["vouched"] is False
    assert "damaged" not in await actions(wire, object_id)
    (wire.store.keys.folder / "rows.sealed").unlink()  # as an earlier version leaves it
    await asyncio.gather(prepare(wire.store), prepare(wire.store))
    assert await find_forged(wire.store) == []
    way.open()
    await _finish_sealing(wire.store)
    await wire.patch(path, auth, 0, DATA)
    await wire.digest(path, auth, sha256(DATA))
    assert [await status_of(wire, one) for one in (object_id, path.rsplit("/", 1)[1])] == [200, 200]
    await unseal(wire)
    await prepare(wire.store)
    assert len(await find_forged(wire.store)) == len(await rows_of(wire, "events"))


async def test_another_nodes_rows_are_left_to_it(wire: Wire):
    await wire.create(DATA)
    await unseal(wire)
    await change(wire, f"UPDATE uploads SET node = '{signing.new_id()}'")
    (wire.store.keys.folder / "rows.sealed").unlink()
    await prepare(wire.store)
    assert len(await find_forged(wire.store)) == 1


async def test_a_seal_key_that_was_lost_and_made_anew_locks_nothing_out(wire: Wire, way: Way):
    object_id, folder = await way.put(), wire.store.keys.folder
    (folder / "bearer.key").unlink()
    make_keys(folder)
    wire.store.keys = load_keys(folder)
    assert len(await find_forged(wire.store)) == 1
    await prepare(wire.store)
    way.open()
    await _finish_sealing(wire.store)
    assert await status_of(wire, object_id) == 200


async def test_a_backup_of_before_there_were_seals_is_believed_and_its_line_says_so(
    wire: Wire, way: Way, tmp_path, clock
):
    object_id = await way.put()
    await wire.create(DATA)
    await backup(wire.store, tmp_path / "backup", progress=unseen)
    older = await make_older(tmp_path / "backup", "0016", tmp_path / "older")
    for source, unsealed in ((tmp_path / "backup", None), (older, 2)):
        store = new_store(tmp_path / f"new-{unsealed}", wire.store.keys, clock)
        try:
            assert (await restore(store, source, progress=unseen)).faults == []
            async with store.database.read() as db:
                [waiting] = await list_sealing(db)
                leaves = (await db.execute(text("SELECT leaf FROM ledger ORDER BY sequence DESC LIMIT 1"))).scalar_one()
            assert waiting.id == object_id
            assert seals.is_own(store.keys.bearer, waiting)
            assert json.loads(leaves)["details"].get("unsealed") == unsealed
        finally:
            await store.close()
