"""Statements on SQLite: as few steps into its thread as can be, and what aiosqlite does all the same."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from evidence_store.database import Database

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = Database(f"sqlite+aiosqlite:///{tmp_path / 'rows.sqlite'}")
    async with found.begin() as db:
        await db.execute(text("CREATE TABLE t (i INTEGER PRIMARY KEY)"))
    yield found
    await found.dispose()


async def count(database: Database) -> int:
    async with database.read() as db:
        return int((await db.execute(text("SELECT count(*) FROM t"))).scalar_one())


async def test_a_statement_is_one_step_and_so_is_the_end_of_what_it_began(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    await count(database)
    steps, real = Counter[str](), aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, work: object, *more: object) -> object:
        steps["all"] += 1
        return await real(self, work, *more)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    await count(database)
    assert steps["all"] == 2
    async with database.begin() as db:
        await db.execute(text("INSERT INTO t VALUES (1)"))
        await db.execute(text("INSERT INTO t VALUES (2)"))
    assert steps["all"] == 2 + 3
    async with database.begin():
        pass
    assert steps["all"] == 2 + 3


@pytest.mark.parametrize("rows", [0, 1, 999, 1000, 1001, 2500])
async def test_every_row_comes_once_and_in_order_whether_held_or_streamed(database: Database, rows: int):
    async with database.read() as db:
        held = (await db.execute(text(NUMBERS.format(rows) + f" WHERE i <= {rows}"))).scalars().all()
        streamed = [row.i async for row in await db.stream(text(NUMBERS.format(rows) + f" WHERE i <= {rows}"))]
        pages = (await db.stream(text(NUMBERS.format(rows) + f" WHERE i <= {rows}"))).partitions(700)
        paged = [row.i async for page in pages for row in page]
    assert held == streamed == paged == list(range(1, rows + 1))


async def test_what_is_streamed_and_left_half_read_holds_no_transaction_open(database: Database):
    async with database.read() as db:
        async for row in await db.stream(text(NUMBERS.format(5000))):
            assert row.i == 1
            break
    async with database.begin() as db:
        await db.execute(text("INSERT INTO t VALUES (1)"))
    assert await count(database) == 1


async def test_what_raised_half_way_wrote_nothing_and_the_next_one_writes(database: Database):
    async def write() -> None:
        async with database.begin() as db:
            await db.execute(text("INSERT INTO t VALUES (1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()
    assert await count(database) == 0
    async with database.begin() as db:
        changed = await db.execute(text("INSERT INTO t VALUES (7)"))
        assert changed.rowcount == 1
        assert (await db.execute(text("UPDATE t SET i = i + 1"))).rowcount == 1
        assert (await db.execute(text("DELETE FROM t WHERE i = 1"))).rowcount == 0
    assert await count(database) == 1


async def test_what_was_given_up_in_the_middle_of_a_statement_leaves_nothing_begun(database: Database):
    """The thread is still at it when the connection is given back, and has begun a transaction by then."""
    within, goes_on = threading.Event(), threading.Event()

    def hold() -> int:
        within.set()
        return int(goes_on.wait(300))

    async def write() -> None:
        async with database.begin() as db:
            await db.execute(text("INSERT INTO t VALUES (1)"))
            driven = (await db.get_raw_connection()).driver_connection
            assert driven is not None
            await driven.do(lambda connection: connection.create_function("hold", 0, hold))
            await db.execute(text("SELECT hold()"))

    for _ in range(3):
        within.clear()
        goes_on.clear()
        writing = asyncio.create_task(write())
        assert await asyncio.to_thread(within.wait, 300)
        writing.cancel()
        asyncio.get_running_loop().call_later(0.05, goes_on.set)  # when it is given up, as a rule
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await count(database) == 0
    async with database.begin() as db:
        await db.execute(text("INSERT INTO t VALUES (1)"))
    assert await count(database) == 1


async def test_a_writer_has_the_lock_from_its_first_statement_on(database: Database, tmp_path: Path):
    other = Database(f"sqlite+aiosqlite:///{tmp_path / 'rows.sqlite'}")
    seen = list[int]()

    async def write() -> None:
        async with other.begin() as db:
            seen.append(int((await db.execute(text("SELECT count(*) FROM t"))).scalar_one()))

    async with database.begin() as db:
        await db.execute(text("SELECT count(*) FROM t"))  # reads first, and what it read stays true
        writing = asyncio.create_task(write())
        await asyncio.sleep(0.1)
        assert seen == []
        await db.execute(text("INSERT INTO t VALUES (1)"))
    await writing
    await other.dispose()
    assert seen == [1]


async def test_readers_cannot_write(database: Database):
    async with database.read() as db:
        with pytest.raises(OperationalError, match="readonly"):
            await db.execute(text("INSERT INTO t VALUES (1)"))
    assert await count(database) == 0
