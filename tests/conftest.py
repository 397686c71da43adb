"""What every test may ask for: a database of its own, a clock it holds, the application, signed-in browsers."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pysqlite3
import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from yarl import URL

from tests.patience import BUSY_MS
from tests.postgres import running as running_postgres
from video_server import migrations
from video_server.accounts import service as accounts
from video_server.accounts.model import Role, Staff
from video_server.app import make_app
from video_server.config import Settings, load
from video_server.core import database as core_database
from video_server.core.database import Database
from video_server.core.keys import KeyRing, load_keys
from video_server.web import sockets

pytest_plugins = ["tests.sharing", "tests.again", "tests.rendered", "tests.calls_support", "tests.chromium"]

# No example is late on a machine that stands still for a moment, and every run tries the same ones.
hypothesis_settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
hypothesis_settings.load_profile("unhurried")

PASSWORD = "correct horse battery staple"
PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""As cheap to check as can be: a hash says what it costs, and what the product's own cost is has a test."""

Browser = TestClient


@pytest.fixture(scope="session", autouse=True)
def _no_client_is_dropped_while_its_test_does_something_else() -> Iterator[None]:
    """A test's client answers heartbeats only while it reads; a browser always does, and has a server of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets, "HEARTBEAT_SECONDS", 600.0)
        yield


class HeldClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> datetime:
        """Go forward: move(minutes=5)."""
        self.now += timedelta(**by)
        return self.now


@pytest.fixture(scope="session", autouse=True)
def _writers_that_race_wait_for_their_turn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core_database, "_BUSY_MS", BUSY_MS)
        yield


@pytest.fixture
def clock() -> HeldClock:
    """Monday 2 March 2026, 10:00 UTC, which is also 10:00 in London."""
    return HeldClock(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "video.sqlite"
    apart(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
    connection = pysqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A private PostgreSQL server with a migrated, empty database named `template`."""
    with running_postgres() as base:
        apart(on_postgres(base, "CREATE DATABASE template"))
        apart(migrations.upgrade(f"{base}/template"))
        yield base


def apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread with a loop of its own, whether or not a loop runs here."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def on_postgres(base: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    connection = await asyncpg.connect(f"{base}/postgres".replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a database on both kinds; how single pages look in a browser is the same on either."""
    given = [mark for mark in metafunc.definition.iter_markers("parametrize") if "database_url" in mark.args[0]]
    if "database_url" in metafunc.fixturenames and not given:
        kinds = ["sqlite"] if "open_context" in metafunc.fixturenames else ["sqlite", "postgresql"]
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a migrated, empty database; every test that asks runs on both kinds."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "video.sqlite")
        yield f"sqlite+aiosqlite:///{tmp_path / 'video.sqlite'}"
        return
    base, name = request.getfixturevalue("postgres"), f"test_{next(_numbers)}"
    apart(on_postgres(base, f"CREATE DATABASE {name} TEMPLATE template"))
    yield f"{base}/{name}"
    apart(on_postgres(base, f"DROP DATABASE {name} WITH (FORCE)"))


_numbers = count(1)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of a demo in a folder of its own."""
    return load(demo=True, data=tmp_path, texts="screen", database=database_url)


@pytest.fixture
def key_ring(settings: Settings) -> KeyRing:
    return load_keys(settings.keys_folder, create=True)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    database = Database(settings.database_url)
    yield database
    await database.dispose()


MakeBrowser = Callable[[], Awaitable[Browser]]


@pytest.fixture
async def browser(
    database: Database, settings: Settings, key_ring: KeyRing, clock: HeldClock
) -> AsyncIterator[MakeBrowser]:
    """Make HTTP clients with cookies of their own against one running application; same-origin by default."""
    server = TestServer(make_app(settings, key_ring, clock=clock))
    await server.start_server()
    opened: list[Browser] = []

    async def open_browser() -> Browser:
        jar = CookieJar(unsafe=True, treat_as_secure_origin=[URL(str(server.make_url("/"))).origin()])
        client = TestClient(server, cookie_jar=jar)
        client.session.headers["Sec-Fetch-Site"] = "same-origin"
        client.session.headers["Origin"] = str(server.make_url("")).rstrip("/")
        opened.append(client)
        return client

    yield open_browser
    for client in opened:
        await client.session.close()
    await server.close()


AddStaff = Callable[..., Awaitable[Staff]]


@pytest.fixture
def add_staff(database: Database, clock: HeldClock) -> AddStaff:
    """Add a member of staff with PASSWORD: await add_staff("smith", Role.OFFICER)."""

    async def add(username: str, *roles: Role, name: str = "PC Smith", collar_number: str = "1234") -> Staff:
        async with database.begin() as db:
            return await accounts.add_staff(
                db,
                username=username,
                name=name,
                collar_number=collar_number,
                roles=roles,
                password_hash=PASSWORD_HASH,
                now=clock(),
            )

    return add


@pytest.fixture
def sign_in(browser: MakeBrowser) -> Callable[[str], Awaitable[Browser]]:
    """Return a browser in which this username is signed in."""

    async def enter(username: str) -> Browser:
        client = await browser()
        answer = await client.post("/sign-in", data={"username": username, "password": PASSWORD}, allow_redirects=False)
        assert answer.status == 303, await answer.text()
        return client

    return enter
