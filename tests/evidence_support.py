"""What the tests of evidence share: a call, the web server, and a real evidence store in a process of its own."""

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from tests.cases import book_now
from tests.conftest import HeldClock
from tests.ports import find_free_port
from tests.statements_support import let_in
from video_server.accounts.model import Staff
from video_server.app import make_app
from video_server.appointments.model import Appointment
from video_server.config import Settings
from video_server.core.database import Database
from video_server.core.keys import KeyRing
from video_server.evidence import service
from video_server.evidence.model import Request
from video_server.web import sessions

TUS = {"Tus-Resumable": "1.0.0"}
PIECES = {**TUS, "Content-Type": "application/offset+octet-stream"}
PATIENCE_SECONDS = 300.0  # only so that a broken build ends; nothing is measured here


def jpeg(size: int, seed: int = 1) -> bytes:
    """Bytes that begin like a photo and cannot be guessed."""
    return b"\xff\xd8\xff\xe0" + random.Random(seed).randbytes(size - 4)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def until(what: str, look: Callable[[], Awaitable[Any]]) -> Any:
    """Look again and again until there is something, and return that."""
    end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while asyncio.get_running_loop().time() < end:
        if found := await look():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


@dataclass
class StoreProcess:
    """The evidence store as `serve` starts it; it can be killed and started again."""

    settings: Settings
    web_port: int
    process: Process | None = None

    async def start(self) -> None:
        folder = self.settings.data
        (folder / "run").mkdir(exist_ok=True)
        own = {
            "EVIDENCE_DATA": str(folder / "evidence"),
            "EVIDENCE_KEYS": str(folder / "keys-evidence"),
            "EVIDENCE_LISTEN": self.settings.evidence_where,
            "EVIDENCE_NOTIFY_URL": f"http://127.0.0.1:{self.web_port}/evidence-events",
            "EVIDENCE_DIGEST_MINUTES": "60",
            "EVIDENCE_BREAK_GLASS_ROLES": "officer",
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "evidence_store.cli", "serve", "--parent-pipe"),
            *("--first-share", str(self.settings.keys_folder)),
            stdin=PIPE,
            stderr=None if "EVIDENCE_TEST_LOG" in os.environ else DEVNULL,
            env={k: v for k, v in os.environ.items() if not k.startswith("EVIDENCE_")} | own,
        )

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
        self.process = None


@dataclass
class Call:
    """An officer and a person in a call; the web server between them; the store behind it."""

    database: Database
    settings: Settings
    clock: HeldClock
    server: TestServer
    store: StoreProcess
    appointment: Appointment
    officer: TestClient
    phone: TestClient
    open_browser: Callable[[str, str], TestClient]
    session_id: str = ""
    made: list[str] = field(default_factory=list)

    async def ask(self, kind: str = "photo", note: str = "The broken window") -> str:
        """Ask as the booth does; return the request's id."""
        here = f"/booth/appointments/{self.appointment.id}/evidence"
        answer = await self.officer.post(here, json={"kind": kind, "note": note})
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["id"])

    async def grant(self, request_id: str, *, phone: TestClient | None = None, status: int = 200) -> dict[str, str]:
        answer = await (phone or self.phone).post(f"/phone/evidence/requests/{request_id}/grant", json={})
        assert answer.status == status, await answer.text()
        return dict(await answer.json())

    async def create(
        self, grant: str, length: int, *, name: str = "photo.jpg", kind: str = "image/jpeg", status: int = 201
    ) -> tuple[str, dict[str, str]]:
        """Open an upload through the web server; return its path and what its requests need."""
        metadata = f"filename {b64encode(name.encode()).decode()},filetype {b64encode(kind.encode()).decode()}"
        headers = {**TUS, "Authorization": f"Grant {grant}", "Upload-Length": str(length), "Upload-Metadata": metadata}
        answer = await self.phone.post("/evidence/files/", headers=headers)
        assert answer.status == status, await answer.text()
        if status != 201:
            return "", {}
        assert answer.headers["Location"].startswith("/evidence/files/")
        return answer.headers["Location"], {"Authorization": f"Bearer {answer.headers['Upload-Bearer']}"}

    async def patch(self, path: str, auth: Mapping[str, str], offset: int, data: bytes, *, status: int = 204) -> None:
        headers = {**PIECES, **auth, "Upload-Offset": str(offset)}
        answer = await self.phone.patch(path, headers=headers, data=data)
        assert answer.status == status, await answer.text()

    async def stand(self, path: str, auth: Mapping[str, str]) -> int:
        answer = await self.phone.head(path, headers={**TUS, **auth})
        assert answer.status == 200
        return int(answer.headers["Upload-Offset"])

    async def digest(self, path: str, auth: Mapping[str, str], value: str) -> dict[str, str]:
        answer = await self.phone.post(f"{path}/digest", headers=auth, json={"sha256": value})
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())

    async def send(self, request_id: str, data: bytes, *, digest: str | None = None, **how: str) -> str:
        """Send a file whole, wait until web knows what became of it; return its id."""
        allowed = await self.grant(request_id)
        path, auth = await self.create(allowed["grant"], len(data), **how)
        await self.patch(path, auth, 0, data)
        await self.digest(path, auth, digest or sha256(data))
        await self.wait_for(request_id, "received" if digest is None else "quarantined")
        return allowed["item"]

    async def request(self, request_id: str) -> Request:
        async with self.database.read() as db:
            listed = await service.list_for(db, self.appointment.id)
        return next(one for one in listed if one.id == request_id)

    async def wait_for(self, request_id: str, state: str) -> Request:
        async def look() -> Request | None:
            found = await self.request(request_id)
            return found if found.state.value == state else None

        return await until(f"a request that is {state}", look)

    async def ready(self) -> None:
        async def look() -> bool:
            answer = await self.phone.get("/readyz")
            return (await answer.json())["parts"]["evidence"] == "ok"

        await until("the evidence store", look)


@asynccontextmanager
async def calling(
    database: Database,
    settings: Settings,
    key_ring: KeyRing,
    clock: HeldClock,
    officer: Staff,
    *,
    with_store: bool = True,
) -> AsyncIterator[Call]:
    """A person let into a call with this officer, the web server, and the store when it is wanted."""
    port = find_free_port()
    server = TestServer(make_app(settings, key_ring, clock=clock), port=port)
    await server.start_server()
    store = StoreProcess(settings, port)
    if with_store:
        await store.start()
    opened: list[TestClient] = []

    def open_browser(kind: str, secret: str) -> TestClient:
        jar = CookieJar(unsafe=True, treat_as_secure_origin=[URL(str(server.make_url("/"))).origin()])
        jar.update_cookies({sessions.COOKIES[kind]: secret}, server.make_url("/"))
        client = TestClient(server, cookie_jar=jar)
        client.session.headers["Sec-Fetch-Site"] = "same-origin"
        opened.append(client)
        return client

    appointment = await book_now(database, key_ring, officer_id=officer.id, now=clock())
    person, phone_secret = await let_in(database, appointment, now=clock())
    async with database.begin() as db:
        _, staff_secret = await sessions.open_session(db, "staff", officer.id, now=clock())
    call = Call(
        database=database,
        settings=settings,
        clock=clock,
        server=server,
        store=store,
        appointment=appointment,
        officer=open_browser("staff", staff_secret),
        phone=open_browser("phone", phone_secret),
        open_browser=open_browser,
        session_id=person.session_id,
    )
    try:
        if with_store:
            await call.ready()
        yield call
    finally:
        for client in opened:
            await client.session.close()
        await server.close()
        await store.kill()


def read_token(folder: Path) -> str:
    """Return the API token that the store gave the web server."""
    return (folder / "evidence.token").read_text()


async def fetch(session: ClientSession, url: str, token: str) -> tuple[int, bytes, Mapping[str, str]]:
    """Fetch from the storage API."""
    async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status, await answer.read(), answer.headers
