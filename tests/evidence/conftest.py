"""A store to test: in this process on a clock that the test holds, or as a process of its own that can be killed."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from evidence_store import app_keys, migrations
from evidence_store.app import make_app, open_store
from evidence_store.client import make_grant
from evidence_store.config import PREFIX, Settings, load
from evidence_store.database import Database
from evidence_store.sealing import signing
from evidence_store.sealing.keys import Keys, load_keys, make_keys
from evidence_store.tokens import Scope
from evidence_store.unreadable import Runner
from tests.conftest import HeldClock, apart, on_postgres
from tests.evidence import described
from tests.evidence.court_support import Bare, make_bare
from tests.evidence.seaweed import Seaweed, start_seaweed
from tests.evidence_tokens import hide_laid_tokens, lay_tokens, lay_tokens_at, token_for
from tests.ports import find_free_port
from tests.product import until

hide_laid_tokens()
_HOURS = 36_000.0
_TIMERS = {  # what a store does by itself now and then, tests have it do; waiting for a slow machine has hardly an end
    "app._SWEEP_SECONDS": _HOURS, "nodes.service._EVERY_SECONDS": _HOURS, "mirrors.places._TRY_SECONDS": 300.0,
    "uploads.sessions._LOCK_PATIENCE_SECONDS": 300.0, "objects.service._PATIENCE_SECONDS": 300.0,
    "sqlite._BUSY_SECONDS": 300.0, "media.process.LOOK_SECONDS": 300.0, "media.process.PLAY_SECONDS": 300.0,
    "backend.bucket.ANSWER_SECONDS": 300, "backend.s3.ANSWER_SECONDS": 300,
}  # fmt: skip
INCIDENT = "AP-7F4K-92QD"
SEGMENT = (1 << 20) - 32


def jpeg(size: int, seed: int = 1) -> bytes:
    """Bytes that begin like a photo and cannot be guessed."""
    return b"\xff\xd8\xff\xe0" + random.Random(seed).randbytes(size - 4)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_another_mac(signed: str) -> str:
    """Change a signed value by its last letter but one; a fixed letter in its place may be there already."""
    return f"{signed[:-2]}{'A' if signed[-2] != 'A' else 'B'}{signed[-1]}"


@pytest.fixture(autouse=True)
def timers() -> Iterator[None]:
    """Let nothing of a store in this process happen, or be given up, because the machine was slow."""
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in _TIMERS.items():
            patch.setattr(f"evidence_store.{name}", seconds)
        yield


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    make_keys(tmp_path / "keys", share=tmp_path / "web")
    return load_keys(tmp_path / "keys")


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server, for all tests of this process."""
    server = start_seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database as a first start leaves it, to copy."""
    path = tmp_path_factory.mktemp("template") / "evidence.sqlite"
    apart(make_tables(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql_tables(postgres: str) -> str:
    """The name of such a database on PostgreSQL."""
    name = "evidence_template"
    apart(on_postgres(postgres, f"CREATE DATABASE {name}"))
    apart(make_tables(f"{postgres}/{name}"))
    return name


async def make_tables(url: str) -> None:
    """Do what a start does, and lay tokens."""
    database = Database(url)
    await migrations.upgrade(database)
    await lay_tokens(database)
    await database.dispose()


both_databases = pytest.mark.parametrize("evidence_database", ["sqlite", "postgresql"], indirect=True)
"""Marks tests of what the store keeps in its database: they run on both kinds."""


@pytest.fixture
def evidence_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database; SQLite unless the test is marked `both_databases`.

    It is empty, so that a start is a first one, but for tests that ask for a `wire`: that has its tables already.
    """
    if getattr(request, "param", "sqlite") == "sqlite":
        yield ""
        return
    base, name = request.getfixturevalue("postgres"), f"evidence_{signing.new_id()}"
    template = request.getfixturevalue("postgresql_tables") if "wire" in request.fixturenames else "template1"
    apart(on_postgres(base, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield f"{base}/{name}"
    apart(on_postgres(base, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def evidence_settings(tmp_path: Path, keys: Keys, evidence_database: str) -> Settings:
    return load(
        None, data=tmp_path / "data", keys=keys.folder, listen="127.0.0.1:0", database=evidence_database,
        preview_workers=0, checkpoint_seconds=_HOURS,
    )  # fmt: skip


class Wire:
    """Plain HTTP against a store in this process."""

    def __init__(self, app: web.Application, session: ClientSession, clock: HeldClock) -> None:
        self.app, self.store, self.http, self.clock = app, app[app_keys.STORE], session, clock

    def token(self, *scopes: Scope, incident: str | None = None, name: str = "test") -> dict[str, str]:
        return token_for(self.store.keys.token, *scopes, now=self.clock(), name=name, incident=incident)

    def grant(self, **changed: object) -> str:
        said: dict[str, object] = {
            "incident": INCIDENT, "reference": "session-1", "max_bytes": 50_000_000, "kinds": ["photo", "video", "txt"],
            "expires_at": self.clock() + timedelta(minutes=10),
        }  # fmt: skip
        key = changed.pop("key", self.store.keys.grant)
        return make_grant(key, **said | changed)  # type: ignore[arg-type]

    async def create(self, data: bytes, *, grant: str | None = None, name: str = "photo.jpg", kind: str = "image/jpeg",
                     status: int = 201, **headers: str) -> tuple[str, dict[str, str]]:  # fmt: skip
        """Open an upload; return its path and the headers that its requests need."""
        metadata = f"filename {b64encode(name.encode()).decode()},filetype {b64encode(kind.encode()).decode()}"
        given = {
            "Authorization": f"Grant {grant or self.grant()}", "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(data)), "Upload-Metadata": metadata,
        }  # fmt: skip
        async with self.http.post("/evidence/files/", headers=given | headers) as answer:
            assert answer.status == status, await answer.text()
            if status != 201:
                return "", {}
            bearer = answer.headers["Upload-Bearer"]
            return answer.headers["Location"], {"Authorization": f"Bearer {bearer}", "Tus-Resumable": "1.0.0"}

    async def patch(self, path: str, auth: dict[str, str], offset: int, data: bytes, *, status: int = 204) -> int:
        given = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        async with self.http.patch(path, headers=given, data=data) as answer:
            assert answer.status == status, await answer.text()
            return int(answer.headers.get("Upload-Offset", -1))

    async def stand(self, path: str, auth: dict[str, str]) -> int:
        async with self.http.head(path, headers=auth) as answer:
            assert answer.status == 200
            return int(answer.headers["Upload-Offset"])

    async def digest(self, path: str, auth: dict[str, str], value: str, *, status: int = 200) -> dict[str, str]:
        async with self.http.post(f"{path}/digest", headers=auth, json={"sha256": value}) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def upload(self, data: bytes, **given: object) -> str:
        """Send a file whole; return its object's id."""
        path, auth = await self.create(data, **given)  # type: ignore[arg-type]
        await self.patch(path, auth, 0, data)
        await self.digest(path, auth, sha256(data))
        return path.rsplit("/", 1)[1]

    async def put(
        self, object_id: str, data: bytes, *, status: int = 201, kind: str = "image/jpeg", **more: str
    ) -> dict:
        given = self.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(data),
            "Content-Type": kind,
        }  # fmt: skip
        async with self.http.put(f"/evidence/v1/objects/{object_id}", headers=given | more, data=data) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def ask(
        self, method: str, path: str, body: object = None, *, status: int = 200, **headers: str
    ) -> dict[str, Any]:
        """Ask the storage API, with every scope unless the headers bring a token; return the JSON of the answer."""
        given = self.token() | headers
        async with self.http.request(method, f"/evidence/v1{path}", headers=given, json=body) as answer:
            assert answer.status == status, await answer.text()
            said = await answer.json()
            described.check(method, f"/evidence/v1{path}", answer.status, answer.content_type, said)
            return dict(said)

    async def lines(self, object_id: str = "") -> list[dict[str, Any]]:
        """Return the newest ledger lines, perhaps of one object."""
        about = f"&object={object_id}" if object_id else ""
        return list((await self.ask("GET", f"/ledger?after=0{about}"))["entries"])

    async def metadata(self, object_id: str) -> dict[str, object]:
        async with self.http.get(f"/evidence/v1/objects/{object_id}", headers=self.token()) as answer:
            assert answer.status == 200
            return await answer.json()


class _Server(TestServer):
    """Reads requests as the store's own process does."""

    async def _make_runner(self, **given: Any) -> Runner:
        return Runner(self.app, **given)


@contextlib.asynccontextmanager
async def open_wire(settings: Settings, keys: Keys, clock: HeldClock) -> AsyncIterator[Wire]:
    """A store in this process, its clock held by the test."""
    app = make_app(open_store(settings, keys, now=clock))
    server = _Server(app)
    await server.start_server()
    await lay_tokens(app[app_keys.STORE].database)
    async with ClientSession(str(server.make_url(""))) as session:
        yield Wire(app, session, clock)
    await server.close()


@pytest.fixture
async def wire(evidence_settings: Settings, keys: Keys, clock: HeldClock, sqlite_tables: Path) -> AsyncIterator[Wire]:
    """A store on a folder."""
    if not evidence_settings.database:
        evidence_settings.data.mkdir()
        shutil.copy(sqlite_tables, evidence_settings.data / "evidence.sqlite")
    async with open_wire(evidence_settings, keys, clock) as opened:
        yield opened


class Process:
    """A store as a process of its own."""

    def __init__(self, folder: Path, start: Callable[[dict[str, str]], int]) -> None:
        self.folder, self._start, self.pid = folder, start, 0
        make_keys(folder / "keys")
        self.keys = load_keys(folder / "keys")
        self.url = f"http://127.0.0.1:{find_free_port()}"
        self.settings = {
            "data": str(folder / "data"), "keys": str(folder / "keys"), "listen": self.url.removeprefix("http://"),
            "preview_workers": "0",
        }  # fmt: skip

    def start(self) -> None:
        self.pid = self._start(self.settings)
        until(self._answers, "the store's start")
        lay_tokens_at(load(None, **self.settings).database_url)

    def _answers(self) -> bool:
        assert self.lives(self.pid), "the store ended instead of starting"
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/healthz", timeout=10).ok
        return False

    def also(self, **settings: str) -> int:
        """Start another process on the same settings, but for these; return its id."""
        return self._start(self.settings | settings)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.pid:
            self.end(self.pid)
        self.pid = 0

    @staticmethod
    def end(pid: int) -> None:
        """kill -9 one of ours, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while Process.lives(pid):
            time.sleep(0.005)

    @staticmethod
    def lives(pid: int) -> bool:
        """Say whether one of ours still runs."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    def token(self, *scopes: Scope, name: str = "test") -> dict[str, str]:
        return token_for(self.keys.token, *scopes, now=datetime.now(UTC), name=name)

    def grant(self) -> str:
        return make_grant(
            self.keys.grant, incident=INCIDENT, reference="session-1", max_bytes=1 << 30, kinds=["photo", "video"],
            expires_at=datetime.now(UTC) + timedelta(minutes=10),
        )  # fmt: skip

    def verify(self, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.evidence.verifying", "verify"]
        where = os.environ | {f"{PREFIX}{name.upper()}": value for name, value in self.settings.items()}
        return subprocess.run([*command, *more], env=where, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def forking(**environment: str) -> Iterator[Callable[[dict[str, str]], int]]:
    """Start real servers by fork from a process that has imported everything."""
    log = subprocess.DEVNULL if "EVIDENCE_TEST_LOG" not in os.environ else None
    zygote = subprocess.Popen(
        [sys.executable, "-m", "tests.evidence.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        text=True, env={k: v for k, v in os.environ.items() if not k.startswith("EVIDENCE_")} | environment,
    )  # fmt: skip

    def start(settings: dict[str, str]) -> int:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(json.dumps(settings) + "\n")
        zygote.stdin.flush()
        return int(zygote.stdout.readline())

    yield start
    zygote.kill()
    zygote.wait()


@pytest.fixture(scope="session")
def fork_store() -> Iterator[Callable[[dict[str, str]], int]]:
    """Start real servers by fork."""
    with forking() as start:
        yield start


@pytest.fixture
def process(tmp_path: Path, fork_store: Callable[[dict[str, str]], int], evidence_database: str) -> Iterator[Process]:
    """A running store that can be killed and started again."""
    store = Process(tmp_path / "store", fork_store)
    store.settings["database"] = evidence_database
    store.start()
    yield store
    store.kill()


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """A Python in which only the standard library and cryptography can be imported."""
    return make_bare(tmp_path_factory.mktemp("bare") / "python")
