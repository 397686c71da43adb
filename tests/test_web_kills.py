"""kill -9 of the web process and the evidence store at seeded points of sign-off and of upload, over real HTTP.

What was answered is there afterwards; trying again after a lost answer ends in one statement, one object, the same
bytes; `signed` is never said before the store has the PDF.
"""

import asyncio
import contextlib
import multiprocessing
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from typing import Any

import aiohttp
import pytest

from evidence_store.client import StoreClient
from evidence_store.errors import NotFound
from tests.cases import FORCE, book_now
from tests.conftest import AddStaff, HeldClock
from tests.evidence_support import PIECES, TUS, StoreProcess, jpeg, read_token, sha256, until
from tests.ports import find_free_port
from tests.statements_support import Desk, drawn_json, let_in
from video_server import web_process
from video_server.accounts.model import Role
from video_server.audit import service as audit
from video_server.config import Settings, load
from video_server.core import keys
from video_server.core.keys import load_demo_signing_identity
from video_server.evidence import service as evidence
from video_server.evidence.model import Kind, RequestState
from video_server.statements import shown, storage
from video_server.statements.model import State
from video_server.statements.printing import Printer
from video_server.statements.sealing import seal_due
from video_server.web.sessions import COOKIES

SEED = 20260711
SIGNINGS = 10
PIECES_SENT = 10
PIECE_BYTES = 400_000
LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["video_server.web_process"])  # each life then starts without the seconds of imports


@dataclass
class Web:
    """The web process, that a test may kill and start again; `phone` is the witness's browser."""

    settings: Settings
    phone: aiohttp.ClientSession
    process: ForkServerProcess | None = None
    kills: int = field(default=0)

    async def start(self) -> None:
        self.process = CONTEXT.Process(target=web_process.main, args=(self.settings,))
        self.process.start()
        await until("the web process", self.answers)

    async def answers(self) -> bool:
        assert self.process is not None
        assert self.process.exitcode is None
        try:
            async with self.phone.get("/healthz") as answer:
                return answer.status == 200
        except LOST:
            return False

    async def kill(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.kills += 1
        if self.process is not None:
            await asyncio.to_thread(self.process.join)
        self.process = None

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.phone.post(path, json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime.now(UTC))


@dataclass
class Scene:
    web: Web
    desk: Desk
    store: StoreProcess

    async def seal(self) -> None:
        """What the scheduler does; with the store away it puts things back for later."""
        async with StoreClient(self.store.settings.evidence_where, read_token(self.web.settings.keys_folder)) as store:
            await seal_due(self.desk.database, store, clock=lambda: datetime.now(UTC))

    async def has_object(self, object_id: str) -> bool:
        async with StoreClient(self.store.settings.evidence_where, read_token(self.web.settings.keys_folder)) as store:
            try:
                await store.get_metadata(object_id)
            except NotFound:
                return False
        return True

    async def store_ready(self) -> None:
        async def look() -> bool:
            async with self.web.phone.get("/readyz") as answer:
                return (await answer.json())["parts"]["evidence"] == "ok"

        await until("the evidence store", look)


@pytest.fixture
async def scene(database, settings, key_ring, clock, add_staff: AddStaff) -> AsyncIterator[Scene]:
    officer = await add_staff("smith", Role.OFFICER)
    appointment = await book_now(database, key_ring, officer_id=officer.id, now=clock())
    witness, secret = await let_in(database, appointment, now=clock())
    printer = Printer(FORCE.name, load_demo_signing_identity(settings.keys_folder, now=clock()))
    desk = Desk(database, appointment, witness, printer, lambda: datetime.now(UTC))
    port = find_free_port()
    store = StoreProcess(settings, port)
    await store.start()
    own = load(demo=True, data=settings.data, texts="screen", database=settings.database_url, port=port)
    headers = {"Sec-Fetch-Site": "same-origin", "Cookie": f"{COOKIES['phone']}={secret}"}
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}", headers=headers, connector=aiohttp.TCPConnector(force_close=True)
    ) as phone:
        web = Web(own, phone)
        await web.start()
        scene = Scene(web, desk, store)
        await scene.store_ready()
        yield scene
        await web.kill()
    await store.kill()


async def test_kills_around_the_signature_leave_one_statement_each_and_none_signed_without_an_object(scene):
    chance = random.Random(SEED)
    web, desk = scene.web, scene.desk
    signed, acknowledged = [], 0
    took = 0.3
    for turn in range(SIGNINGS):
        seen = await desk.ready(f"It was dark in night {turn}.")
        body = {"statement": seen.statement.id, "digest": seen.digest, "declared": True, "signature": drawn_json()}
        began = asyncio.get_running_loop().time()
        pressed = asyncio.create_task(web.post("/phone/statement/sign", body))
        if turn > 0:  # the first is answered, so that both ends are seen
            await asyncio.sleep(0 if turn == 1 else chance.uniform(0, 1.3 * took))
        else:
            await pressed
            took = asyncio.get_running_loop().time() - began
        await web.kill()
        if turn % 3 == 2:
            await scene.store.kill()
        try:
            status, said = await pressed
            assert (status, said["state"]) == (200, "sealing")
            acknowledged += 1
            assert (await desk.view(seen.statement)).statement.state is State.SEALING, "acknowledged and lost"
        except LOST:
            pass
        await scene.seal()  # perhaps with the store away
        await web.start()
        status, said = await web.post("/phone/statement/sign", body)  # the person presses again
        assert status == 200, said
        assert said["state"] in {"sealing", "signed"}
        signed.append(seen.statement)
        if turn % 3 == 2:
            assert said["state"] == "sealing", "the store was away"
            await scene.store.start()
            await scene.store_ready()
    assert web.kills == SIGNINGS
    assert 0 < acknowledged < SIGNINGS

    async def all_signed() -> bool:
        await scene.seal()
        states = set()
        for one in signed:
            state = (await desk.view(one)).statement.state
            states.add(state)
            if state is State.SIGNED:
                assert await scene.has_object(keys.derive_id("statement", one.id, one.version))
        return states == {State.SIGNED}

    await until("every statement to be signed", all_signed)
    async with desk.database.read() as db:
        entries = await audit.list_for(db, f"appointment:{desk.appointment.id}", limit=5_000)
        listed = await shown.list_for(db, desk.appointment.id)
        digests = {one.id: keys.digest_bytes(await storage.seals.find_pdf(db, one.id)) for one in listed}
    deeds = [entry.action for entry in entries]
    assert deeds.count("statements.signed") == deeds.count("statements.sealed") == len(listed) == SIGNINGS
    async with StoreClient(scene.store.settings.evidence_where, read_token(web.settings.keys_folder)) as store:
        for one in listed:
            stored = await store.get_metadata(keys.derive_id("statement", one.id, one.version))
            assert stored.sha256 == digests[one.id]


async def test_kills_in_the_middle_of_an_upload_lose_nothing_that_was_acknowledged(scene):
    chance = random.Random(SEED + 1)
    web, desk = scene.web, scene.desk
    photo = jpeg(PIECES_SENT * PIECE_BYTES)
    async with desk.database.begin() as db:
        asked = await evidence.request_item(
            db, desk.appointment, kind=Kind.PHOTO, note="", by=desk.appointment.officer_id, now=desk.clock()
        )
    _, allowed = await web.post(f"/phone/evidence/requests/{asked.id}/grant", {})
    headers = {
        **TUS, "Authorization": f"Grant {allowed['grant']}", "Upload-Length": str(len(photo)),
        "Upload-Metadata": "filename cGhvdG8uanBn,filetype aW1hZ2UvanBlZw==",
    }  # fmt: skip
    async with web.phone.post("/evidence/files/", headers=headers) as answer:
        path, auth = answer.headers["Location"], {"Authorization": f"Bearer {answer.headers['Upload-Bearer']}"}

    async def stands() -> int:
        async with web.phone.head(path, headers={**TUS, **auth}) as answer:
            assert answer.status == 200
            return int(answer.headers["Upload-Offset"])

    async def send(offset: int, data: bytes) -> int:
        async def slowly() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 50_000):
                yield data[at : at + 50_000]
                await asyncio.sleep(0.01)

        sent = {**PIECES, **auth, "Upload-Offset": str(offset), "Content-Length": str(len(data))}
        async with web.phone.patch(path, headers=sent, data=slowly()) as answer:
            assert answer.status in {204, 503}, await answer.text()  # 503: the store is gone and web says so
            return int(answer.headers["Upload-Offset"]) if answer.status == 204 else 0

    acknowledged = turns = 0
    while (offset := await stands()) < len(photo):
        assert offset >= acknowledged, "acknowledged and lost"
        acknowledged = offset
        left = len(photo) - offset
        if turns >= PIECES_SENT:
            acknowledged = await send(offset, photo[offset:])
            continue
        # while kills are to come something must be left to send
        sending = asyncio.create_task(send(offset, photo[offset : offset + min(PIECE_BYTES, left - 1)]))
        await asyncio.sleep(chance.uniform(0, 0.12))
        victims = [web.kill] if turns % 3 else [web.kill, scene.store.kill]
        await asyncio.gather(*(kill() for kill in victims))
        with contextlib.suppress(LOST):
            acknowledged = max(acknowledged, await sending)
        if scene.store.process is None:
            await scene.store.start()
        await web.start()
        await scene.store_ready()
        turns += 1
    assert web.kills == turns == PIECES_SENT
    async with web.phone.post(f"{path}/digest", headers=auth, json={"sha256": sha256(photo)}) as answer:
        assert (await answer.json())["state"] == "received"

    async def received() -> bool:
        async with desk.database.read() as db:
            [request] = await evidence.list_for(db, desk.appointment.id)
        return request.state is RequestState.RECEIVED and request.items[0].sha256 == sha256(photo)

    await until("web to hear of it", received)
