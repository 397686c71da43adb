"""The ground: transactions that hold, news across processes, keys, logs that give nothing away, errors."""

import asyncio
import json
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import column, insert, table
from sqlalchemy.exc import DBAPIError

from tests.patience import BUSY_MS
from video_server.accounts.storage import staff
from video_server.audit import service as audit
from video_server.core import events, keys, log, storage
from video_server.core.database import Database, DatabaseFault, IntegrityError
from video_server.core.errors import CannotStart, Refusal
from video_server.core.events import Bus
from video_server.core.model import Event
from video_server.web import storage as web_storage

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
PATIENT = f"from video_server.core import database\ndatabase._BUSY_MS = {BUSY_MS}\n"
"""Other processes wait for the lock as long as this one does."""


@asynccontextmanager
async def other_process(program: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python program that uses the package, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PATIENT + program, *map(str, arguments), stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from video_server.core import events
from video_server.core.database import Database

async def main(url, count):
    database = Database(url)
    for number in range(count):
        async with database.begin() as db:
            await events.record(db, "room", f"theirs-{number}", now=datetime.now(UTC))
        print(number, flush=True)
    await database.dispose()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_the_bus_delivers_what_two_processes_write_all_of_it_in_order(database, settings):
    heard: list[Event] = []
    everything = asyncio.Event()
    theirs, ours = 700, 50  # theirs: more than one batch of the bus

    def hear(event: Event) -> None:
        heard.append(event)
        if len(heard) == theirs + ours:
            everything.set()

    bus = Bus(database)
    bus.subscribe("room", hear)
    async with bus.running(), other_process(WRITER, settings.database_url, theirs) as writer:
        for number in range(ours):
            async with database.begin() as db:
                await events.record(db, "room", f"ours-{number}", now=NOW)
        await asyncio.wait_for(everything.wait(), 300)
        await writer.wait()
    assert [event.id for event in heard] == sorted({event.id for event in heard})
    said = [event.reference for event in heard]
    assert [reference for reference in said if reference.startswith("theirs")] == [f"theirs-{n}" for n in range(theirs)]
    assert [reference for reference in said if reference.startswith("ours")] == [f"ours-{n}" for n in range(ours)]


async def write_and_fail(database: Database) -> None:
    async with database.begin() as db:
        await events.record(db, "room", "rolled back", now=NOW)
        await audit.record(db, actor="system:test", action="test.done", subject="test:1", now=NOW)
        raise ZeroDivisionError


async def test_the_bus_says_nothing_of_what_was_rolled_back_or_is_another_topic_or_was_there_before(database):
    heard: list[str] = []
    last = asyncio.Event()

    async with database.begin() as db:
        await events.record(db, "room", "before", now=NOW)
    bus = Bus(database)
    bus.subscribe("room", lambda event: heard.append(event.reference))
    bus.subscribe("diary", lambda _event: last.set())
    async with bus.running():
        with pytest.raises(ZeroDivisionError):
            await write_and_fail(database)
        async with database.begin() as db:
            await events.record(db, "texts", "other topic", now=NOW)
            await events.record(db, "room", "kept", now=NOW)
            await events.record(db, "diary", "last", now=NOW)
        await asyncio.wait_for(last.wait(), 300)
    assert heard == ["kept"]


async def test_a_subscriber_that_fails_or_leaves_does_not_hold_up_the_others(database):
    heard: list[str] = []
    done = asyncio.Event()

    def fail(_event: Event) -> None:
        raise ZeroDivisionError

    bus = Bus(database)
    bus.subscribe("room", fail)
    leave = bus.subscribe("room", lambda event: heard.append(event.reference))
    bus.subscribe("room", lambda _event: done.set())
    async with bus.running():
        for reference in ("first", "second"):
            done.clear()
            async with database.begin() as db:
                await events.record(db, "room", reference, now=NOW)
            await asyncio.wait_for(done.wait(), 300)
            leave()
    assert heard == ["first"]


async def test_what_was_acknowledged_is_there_after_a_kill(database, settings):
    async with other_process(WRITER, settings.database_url, 1_000_000) as writer:
        assert writer.stdout is not None
        acknowledged = [int(await writer.stdout.readline()) for _ in range(100)]
        writer.send_signal(signal.SIGKILL)
        rest = await writer.stdout.read()
        acknowledged += [int(line) for line in rest.decode().split("\n")[:-1]]
        await writer.wait()
    async with database.read() as db:
        kept = [event.reference for event in await storage.list_events_since(db, 0, limit=1_000_000)]
    assert kept[: len(acknowledged)] == [f"theirs-{number}" for number in acknowledged]


COUNTER = """
import asyncio, sys
from datetime import UTC, datetime
from video_server.core.database import Database
from video_server.web import storage

async def main(url):
    database = Database(url)
    print("ready", flush=True)
    sys.stdin.readline()
    async def count():
        for _ in range(10):
            async with database.begin() as db:
                await storage.count_try(db, "shared", window_at=datetime(2026, 3, 2, tzinfo=UTC))
    await asyncio.gather(*(count() for _ in range(20)))
    await database.dispose()

asyncio.run(main(sys.argv[1]))
"""


async def test_forty_writers_in_two_processes_lose_nothing(database, settings):
    async with (
        other_process(COUNTER, settings.database_url) as one,
        other_process(COUNTER, settings.database_url) as two,
    ):
        for process in (one, two):
            assert process.stdout is not None
            await process.stdout.readline()
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        assert await asyncio.gather(one.wait(), two.wait()) == [0, 0]
    async with database.begin() as db:
        assert await web_storage.count_try(db, "shared", window_at=datetime(2026, 3, 2, tzinfo=UTC)) == 401


async def test_a_reader_sees_one_moment_while_others_write(database):
    async with database.read() as looking:
        before = await storage.latest_event_id(looking)
        async with database.begin() as db:
            await events.record(db, "room", "new", now=NOW)
        assert await storage.latest_event_id(looking) == before
    async with database.read() as looking:
        assert await storage.latest_event_id(looking) > before


async def test_a_reader_cannot_write(database):
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        async with database.read() as db:
            await events.record(db, "room", "no", now=NOW)


async def test_the_deed_and_its_record_stand_or_fall_together(database):
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(database)
    async with database.read() as db:
        assert await audit.list_for(db, "test:1") == []


async def test_an_instant_comes_back_as_the_same_instant_in_utc(database):
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    async with database.begin() as db:
        await audit.record(db, actor="system:test", action="test.done", subject="test:1", now=there)
    async with database.read() as db:
        [entry] = await audit.list_for(db, "test:1")
    assert entry.at == NOW
    assert entry.at.utcoffset() == timedelta(0)


async def test_an_instant_without_a_zone_is_refused(database):
    with pytest.raises(Exception, match="naive datetime"):
        async with database.begin() as db:
            await events.record(db, "room", "x", now=NOW.replace(tzinfo=None))


async def test_a_broken_constraint_inside_a_savepoint_leaves_the_transaction_whole(database):
    async with database.begin() as db:
        await events.record(db, "room", "kept", now=NOW)
        with pytest.raises(IntegrityError):
            async with db.begin_nested():
                await events.record(db, None, "no topic", now=NOW)
    async with database.read() as db:
        assert [event.reference for event in await storage.list_events_since(db, 0, limit=9)] == ["kept"]


@pytest.mark.parametrize("wrong", [{}, {"roles": None}, {"created_at": "Jane Secretive"}], ids=repr)
async def test_a_write_that_fails_tells_the_log_no_value_it_was_given(database, wrong):
    private = ("username", "name", "collar_number", "password_hash")
    first = dict.fromkeys(private, "secretive") | {"id": "1" * 32, "roles": "", "failures": 0, "created_at": NOW}
    second = first | {"id": "2" * 32} | wrong
    async with database.begin() as db:
        await db.execute(insert(staff).values(first))
    untyped = table("staff", *(column(name) for name in second))  # the driver itself must see what is wrong
    with pytest.raises(DatabaseFault) as told:
        async with database.begin() as db:
            await db.execute(insert(untyped).values(second))
    logged = "".join(traceback.format_exception(told.value))
    assert "INSERT INTO staff" in logged
    assert "secretive" not in logged.lower()


def test_a_database_that_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match="in-memory"):
        Database("sqlite+aiosqlite:///:memory:")


def test_a_key_is_made_once_for_this_account_only(tmp_path):
    first = keys.load_keys(tmp_path / "keys", create=True)
    assert keys.load_keys(tmp_path / "keys", create=True) == first
    assert stat.S_IMODE((tmp_path / "keys" / "link.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        pytest.param(lambda path: path.unlink(), "restore it from its backup", id="lost"),
        pytest.param(lambda path: path.write_bytes(b"short"), "damaged", id="damaged"),
        pytest.param(lambda path: path.chmod(0o644), "can be read by other accounts", id="readable by others"),
    ],
)
def test_a_key_that_cannot_be_trusted_stops_the_start(tmp_path, spoil, sentence):
    keys.load_keys(tmp_path, create=True)
    spoil(tmp_path / "link.key")
    with pytest.raises(CannotStart, match=sentence):
        keys.load_keys(tmp_path, create=False)


def test_a_join_token_can_be_written_again_and_is_another_for_another_appointment_generation_or_key():
    ring = keys.KeyRing(link=b"k" * 32)
    token = ring.link_token("a" * 32, 1)
    assert token == ring.link_token("a" * 32, 1)
    assert len(token) == 22
    others = {
        ring.link_token("b" * 32, 1),
        ring.link_token("a" * 32, 2),
        keys.KeyRing(b"l" * 32).link_token("a" * 32, 1),
    }
    assert len(others | {token}) == 4


def test_a_made_password_is_new_each_time_and_can_be_typed():
    made = {keys.new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(set(password) <= set("23456789bcdfghjkmnpqrstvwxyz-") for password in made)


@given(
    st.sampled_from(
        ["07700900123", "07700 900123", "+447700900123", "+44 7700 900 123", "0044 7700 900123", "%2B447700900123"]
    ),
    st.sampled_from(["", "failed for ", "to:", "(", "sms ", "To=", "tel:"]),
    st.sampled_from(["", ".", ", again", ")"]),
)
def test_no_phone_number_reaches_the_log(number, before, after):
    said = log.mask(f"{before}{number}{after}")
    assert "900" not in str(said)


@pytest.mark.parametrize(
    "kept", ["10:00", "2026-03-02T10:00:00Z", "127.0.0.1:8080", "a3f0" * 8, "took 1234 ms", "1711111111.12345678"]
)
def test_what_is_no_phone_number_stays_readable_in_the_log(kept):
    assert log.mask(kept) == kept


def test_a_log_line_withholds_what_must_not_be_there():
    program = """
import sys, logging
from video_server.core.log import configure, get_logger
configure("test", stream=sys.stdout)
get_logger("a").info("texted", token="abc", mobile="07700900123", path="/j/HGEjOATnCqmsk_RznnQLag?x=1", part="web")
logging.getLogger("library").warning("GET /track/SECRETSECRET for %s", "+447700900123")
try:
    raise ValueError("no such number 07700 900123 at /j/SECRETSECRET and /g/SECRETSECRET")
except ValueError:
    get_logger("a").exception("failed")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second, third = map(json.loads, ended.stdout.splitlines())
    assert (first["token"], first["mobile"], first["part"]) == ("[withheld]", "[withheld]", "web")
    assert first["process"] == "test"
    assert "HGEj" not in ended.stdout
    assert "SECRET" not in ended.stdout
    assert "900123" not in ended.stdout
    assert "[number]" in second["event"]
    assert "ValueError" in third["exception"]


def test_every_refusal_has_a_code_of_its_own_a_status_and_words():
    from video_server import app

    assert app  # every slice is imported by the wiring
    family: list[type[Refusal]] = [Refusal]
    for kind in family:
        family += [child for child in kind.__subclasses__() if child.__module__.startswith("video_server")]
    codes: dict[str, type[Refusal]] = {}
    for kind in dict.fromkeys(family):
        assert 400 <= kind.status < 600, kind
        assert kind.public[:1].isupper(), kind
        assert "code" in vars(kind) or kind is Refusal, f"{kind} has no code of its own"
        same = codes.setdefault(kind.code, kind)
        assert (same.__name__, same.status) == (kind.__name__, kind.status), f"{kind} and {same} share a code"


def test_core_knows_nothing_above_it():
    program = "import sys; from video_server.core import events, keys, log; print('aiohttp' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_a_new_secret_file_replaces_the_old_one_and_stays_private(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    keys.write_secret(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
