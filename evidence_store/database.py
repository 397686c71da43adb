"""The store's own database, SQLite or PostgreSQL, behind two doors: `begin()` to write, `read()` to look.

A commit is flushed when `begin()` returns. On SQLite a writer takes the write lock at once, so that a transaction
never fails half-way for having read too early.

On PostgreSQL writers wait for rows, and never for each other in a circle, because all take them in this order:

1. the flock of an upload or object (`backend.lock`), before the transaction; inside one nobody waits for a file, a
   bucket, the network or another connection (but a restore, which has the database to itself);
2. the turn to migrate, or to be a node (advisory locks);
3. rows that nobody takes behind the head: one upload or token, an object that is SEALING, a claim; several
   of a kind by their id;
4. the ledger's head: last, or, where custody is changed or decided about, first of all (`custody.service.acting`);
5. behind the head every other row: objects in their place, and what is kept of them.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Executable, MetaData, event, func, insert, select
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.types import TypeDecorator

from evidence_store import sqlite

__all__ = ["METADATA", "Connection", "Database", "IntegrityError", "UtcDateTime", "copy_rows", "is_empty"]

Connection = AsyncConnection
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_SILENCE = {
    "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "300s",
}  # fmt: skip
"""So that a machine that lost its power, or a process that was stopped, keeps no lock: everybody waits for the
ledger's head, and PostgreSQL by itself asks after hours whether its holder still lives."""
_COPY_ROWS = 1000
_VALUES = re.compile(r"\nDETAIL:|(?<=invalid input for query argument) \$\d+")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in, aware UTC out, on both databases (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was about to be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """The engine for one database URL: `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._write_turn, self._read_turns = asyncio.Lock(), asyncio.Semaphore(sqlite.READERS)
        if self.is_sqlite:
            self._writer = sqlite.make_engine(url, writes=True)
            self._reader = sqlite.make_engine(url, writes=False)
        else:
            self._writer = self._reader = create_async_engine(url, pool_pre_ping=True, hide_parameters=True)
            event.listen(self._writer.sync_engine, "connect", _bound_session)
            event.listen(self._writer.sync_engine, "handle_error", _forget_values)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """Open a writing transaction; it commits when the block ends and rolls back when it raises."""
        if self.is_sqlite:
            async with self._write_turn, self._writer.begin() as connection:
                yield connection
        else:
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Open a consistent view that is not written through."""
        if self.is_sqlite:  # who waits here holds nothing; who waits for the pool holds the stack of a greenlet
            async with self._read_turns, self._reader.begin() as connection:
                yield connection
        else:
            async with self._reader.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Have a connection for oneself in which every statement commits at once; it is closed for good at the end."""
        async with self._writer.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                yield connection
            finally:
                await connection.invalidate()  # back in the pool it would keep what the session holds, such as a lock

    async def dispose(self) -> None:
        """Close every pooled connection."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


async def change_one(db: Connection, change: Executable) -> bool:
    """Make one change of one row; False when a constraint or trigger refuses it, or no row fits."""
    try:
        async with db.begin_nested():
            return (await db.execute(change)).rowcount == 1
    except IntegrityError:
        return False


async def copy_rows(source: Connection, target: Connection, told: Callable[[int, int], None]) -> None:
    """Copy every row of every table, from one kind of database to the same or the other; the target's tables are empty.

    told  given how many rows were copied, and how many there are
    """
    tables = METADATA.sorted_tables
    counts = [(await source.execute(select(func.count()).select_from(table))).scalar_one() for table in tables]
    done, total = 0, sum(counts)
    for table in tables:
        rows = await source.stream(select(table))
        async for page in rows.mappings().partitions(_COPY_ROWS):
            await target.execute(insert(table), [dict(row) for row in page])
            done += len(page)
            told(done, total)


async def is_empty(db: Connection) -> bool:
    """Say whether no table holds a row."""
    for table in METADATA.sorted_tables:
        if (await db.execute(select(table).limit(1))).first() is not None:
            return False
    return True


def _bound_session(connection: Any, _record: object) -> None:
    """Set how long PostgreSQL bears silence; by a query, since poolers refuse what they do not know at the start."""
    cursor = connection.cursor()
    for name, value in _SILENCE.items():
        cursor.execute("SELECT set_config($1, $2, false)", (name, value))
    cursor.close()
    connection.commit()


def _forget_values(context: ExceptionContext) -> None:
    """Take out of PostgreSQL's complaint the values it quotes: faults are logged, and values may be names."""
    problems = [context.sqlalchemy_exception, context.original_exception]
    for problem in problems:
        if problem is None:
            continue
        problem.args = tuple(_VALUES.split(part)[0] if isinstance(part, str) else part for part in problem.args)
        if isinstance(getattr(problem, "detail", None), str):
            setattr(problem, "detail", None)  # noqa: B010 (only the driver's own kinds have it)
        problems.extend(inner for inner in (problem.__cause__, problem.__context__) if inner not in problems)
