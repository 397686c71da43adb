"""What every test may ask for: a database of its own, a clock it holds, the application, signed-in browsers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from video_server.accounts import passwords
from video_server.accounts import service as accounts
from video_server.accounts.model import Role, Staff
from video_server.app import make_app
from video_server.config import Settings, load
from video_server.core.database import Database
from video_server.core.keys import KeyRing, load_keys
from video_server.migrations import all_tables

PASSWORD = "correct horse battery staple"
Browser = TestClient


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


@pytest.fixture
def clock() -> HeldClock:
    """Monday 2 March 2026, 10:00 UTC, which is also 10:00 in London."""
    return HeldClock(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a demo in a folder of its own."""
    return load(demo=True, data=tmp_path, texts="screen")


@pytest.fixture
def key_ring(settings: Settings) -> KeyRing:
    return load_keys(settings.keys_folder, create=True)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    database = Database(settings.database_url)
    async with database.begin() as db:
        await db.run_sync(all_tables().create_all)
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
        password_hash = await passwords.hash_password(PASSWORD)
        async with database.begin() as db:
            return await accounts.add_staff(
                db,
                username=username,
                name=name,
                collar_number=collar_number,
                roles=roles,
                password_hash=password_hash,
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
