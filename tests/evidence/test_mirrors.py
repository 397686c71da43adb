"""Checkpoints kept elsewhere: they arrive, late if need be, hold up nothing, and tell when the store was put back."""

import asyncio
import logging
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from evidence_store import ledger
from evidence_store.config import load
from evidence_store.errors import CannotStart
from evidence_store.mirrors import service as checkpoints
from evidence_store.mirrors.places import FolderMirror, MirrorFailed
from evidence_store.mirrors.service import Checkpointer
from evidence_store.sealing.notes import LedgerKey
from evidence_store.verify import verify
from tests.evidence.conftest import Wire, both_databases, jpeg
from tests.evidence.test_ledger import change, four_objects, rewrite, roll_back


def mirrored_to(wire: Wire, *places: str) -> Checkpointer:
    given = wire.store.settings.model_copy(update={"mirrors": ",".join(places)})
    return Checkpointer(replace(wire.store, settings=given))


async def state(wire: Wire, checkpointer: Checkpointer) -> list[tuple[int, str]]:
    found = await checkpoints.states_of(checkpointer._store)
    return [(known.size, known.problem) for known in found.values() if known]


class Shelf:
    """A web server that keeps what is PUT, as a WebDAV folder does; or answers `status` when that is not 0."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.status, self.asked, self.credentials = 0, 0, set()
        self.in_pieces = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.credentials.add(request.headers.get("Authorization", ""))
        if self.status:
            return web.Response(status=self.status, headers={"Location": "/elsewhere"})
        if request.method == "PUT":
            self.files[request.path] = await request.text()
            return web.Response(status=201)
        if request.path not in self.files:
            return web.Response(status=404)
        if self.in_pieces:
            return await self._answer_in_pieces(request, self.files[request.path].encode())
        return web.Response(text=self.files[request.path])

    async def _answer_in_pieces(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer as a server may at any time: not all at once."""
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(body), 100):
            await response.write(body[start : start + 100])
            await asyncio.sleep(0.02)
        return response


@pytest.fixture
async def shelf() -> AsyncIterator[tuple[Shelf, str]]:
    found, app = Shelf(), web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    server = TestServer(app)
    await server.start_server()
    yield found, str(server.make_url("/force"))
    await server.close()


@both_databases
async def test_a_checkpoint_is_kept_and_sent_to_folders_and_urls(wire: Wire, tmp_path: Path, shelf):
    kept, url = shelf
    folder = tmp_path / "force"
    folder.mkdir()
    checkpointer = mirrored_to(wire, str(folder), url.replace("http://", "http://store:s3cret@"))
    await four_objects(wire)
    await checkpointer.work()
    await checkpointer.work()
    assert await state(wire, checkpointer) == [(8, ""), (8, "")]
    assert [path.name for path in folder.iterdir()] == ["0000000000000000008.checkpoint"]
    assert kept.files.keys() == {"/force/0000000000000000008.checkpoint", "/force/latest.checkpoint"}
    assert kept.credentials == {"Basic " + b64encode(b"store:s3cret").decode()}
    assert kept.asked == 3  # asked what it holds, sent two files; not again while nothing was new
    async with wire.store.database.read() as db:
        assert await ledger.find_checkpoint(db, 8) == kept.files["/force/latest.checkpoint"]
    witnesses, unasked = await checkpoints.ask_mirrors([str(folder), url])
    assert (len(witnesses), unasked) == (2, [])
    assert (await verify(wire.store, witnesses=witnesses)).faults == []


async def test_a_mirror_that_fails_is_tried_again_and_holds_up_nothing(wire: Wire, tmp_path: Path, shelf, clock):
    kept, url = shelf
    checkpointer = mirrored_to(wire, str(tmp_path / "force"), url)
    for kept.status in (500, 302):
        await wire.upload(jpeg(700, kept.status))
        await checkpointer.work()
        found = await state(wire, checkpointer)
        assert "No such file" in found[0][1]
        assert found[1][1] == f"it answers {kept.status}"
        clock.move(minutes=6)
    witnesses, unasked = await checkpoints.ask_mirrors([str(tmp_path / "force"), url])
    assert (witnesses, len(unasked)) == ([], 2)
    asked = kept.asked
    await checkpointer.work()
    await checkpointer.work()  # not before its time
    assert kept.asked == asked + 1
    kept.status = 0
    (tmp_path / "force").mkdir()
    clock.move(minutes=6)
    await checkpointer.work()
    assert await state(wire, checkpointer) == [(4, ""), (4, "")]


@both_databases
async def test_a_checkpoint_that_comes_in_pieces_is_read_to_its_end(wire: Wire, shelf):
    kept, url = shelf
    checkpointer = mirrored_to(wire, url)
    await four_objects(wire)
    await checkpointer.work()
    kept.in_pieces = True
    await wire.upload(jpeg(700, 9))
    await checkpointer.work()
    assert await state(wire, checkpointer) == [(10, "")]
    witnesses, unasked = await checkpoints.ask_mirrors([url])
    assert (len(witnesses), unasked) == (1, [])
    assert (await verify(wire.store, witnesses=witnesses)).faults == []


async def test_a_share_that_hangs_is_given_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("evidence_store.mirrors.places._TRY_SECONDS", 0.2)
    os.mkfifo(tmp_path / "0000000000000000001.checkpoint")  # opening it waits for a writer that never comes
    with pytest.raises(MirrorFailed, match="does not answer"):
        await FolderMirror(tmp_path).newest()
    with (tmp_path / "0000000000000000001.checkpoint").open("w"):
        await asyncio.sleep(0)  # let the thread go


@both_databases
async def test_a_store_put_back_to_an_older_copy_is_told_at_once_and_the_mirror_kept(wire: Wire, tmp_path: Path, clock):
    checkpointer = mirrored_to(wire, str(tmp_path))
    ids = await four_objects(wire)
    await checkpointer.work()
    await roll_back(wire, ids)
    clock.move(minutes=6)
    await checkpointer.work()
    ((size, problem),) = await state(wire, checkpointer)
    assert (size, problem) == (8, "it knows of 8 lines and the ledger has 4: was the store put back to a copy?")
    await wire.upload(jpeg(800, 8))
    await wire.upload(jpeg(800, 9))
    await wire.upload(jpeg(800, 10))
    clock.move(minutes=6)
    await checkpointer.work()
    assert "another ledger" in (await state(wire, checkpointer))[0][1]
    assert [name for name in os.listdir(tmp_path) if name.endswith(".checkpoint")] == ["0000000000000000008.checkpoint"]
    witnesses, _ = await checkpoints.ask_mirrors([str(tmp_path)])
    (fault,) = (await verify(wire.store, witnesses=witnesses)).faults
    assert fault.startswith("The ledger is not the one of which a checkpoint at line 8 was kept in the folder")


@pytest.mark.parametrize("starts_anew", [True, False], ids=["at a start", "while it runs"])
async def test_what_was_put_back_is_told_although_the_mirrors_row_was_put_back_too(
    wire: Wire, tmp_path: Path, starts_anew: bool
):
    checkpointer = mirrored_to(wire, str(tmp_path))
    ids = await four_objects(wire)
    await checkpointer.work()
    await roll_back(wire, ids)
    async with wire.store.database.read() as db:
        size = (await ledger.read_head(db)).size
    await change(wire, f"UPDATE mirrors SET size = {size}")
    await (mirrored_to(wire, str(tmp_path)) if starts_anew else checkpointer).work()
    assert "it knows of 8 lines" in (await state(wire, checkpointer))[0][1]


async def test_a_row_that_says_that_it_is_never_time_keeps_no_checkpoint_back(wire: Wire, tmp_path: Path):
    checkpointer = mirrored_to(wire, str(tmp_path))
    await four_objects(wire)
    await checkpointer.work()
    await change(wire, "UPDATE mirrors SET next_at = '2999-01-01 00:00:00.000000'")
    await wire.upload(jpeg(800, 8))
    await checkpointer.work()
    assert await state(wire, checkpointer) == [(10, "")]


async def test_a_ledger_signed_by_another_key_does_not_pass_at_a_mirror(wire: Wire, tmp_path: Path):
    checkpointer = mirrored_to(wire, str(tmp_path))
    await four_objects(wire)
    await checkpointer.work()
    await rewrite(wire, 8, LedgerKey(b"\x07" * 32, wire.store.keys.ledger.name))
    before = sorted(os.listdir(tmp_path))
    await checkpointer.work()
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_password_in_a_mirrors_address_is_not_told(wire: Wire, shelf, caplog):
    kept, url = shelf
    kept.status = 403
    checkpointer = mirrored_to(wire, url.replace("http://", "http://store:s3cret@"))
    with caplog.at_level(logging.DEBUG):
        await checkpointer.work()
    found = await checkpoints.states_of(checkpointer._store)
    assert "s3cret" not in f"{found} {caplog.text}"
    async with wire.http.get("/metrics") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "place",
    ["http://force.example/x", "relative/folder", "ftp://force.example", "{data}/mirror", "https://a.example/?key=s"],
)
def test_a_mirror_that_is_no_mirror_stops_the_start(tmp_path: Path, place):
    with pytest.raises(CannotStart, match="EVIDENCE_MIRRORS"):
        load(None, data=tmp_path, keys=tmp_path.with_name("keys"), mirrors=place.format(data=tmp_path))
