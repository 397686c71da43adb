"""One database, SQLite or PostgreSQL, behind two doors: `begin()` to write, `read()` to look.

Every write runs inside `begin()`: one transaction, all or nothing, durable when it returns. On SQLite a writer takes
the write lock at once (BEGIN IMMEDIATE), so that a transaction never fails half-way for having read too early, and
commits are flushed (synchronous=FULL: under NORMAL acknowledged commits are lost at a power cut).
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pysqlite3

# The system's SQLite may hold the WAL-reset corruption bug (fixed in 3.51.3); aiosqlite imports the module by name.
sys.modules["sqlite3"] = pysqlite3

from sqlalchemy import DateTime, Dialect, MetaData, event, func, select  # noqa: E402
from sqlalchemy.engine import ExceptionContext, make_url  # noqa: E402
from sqlalchemy.exc import IntegrityError, SQLAlchemyError  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine  # noqa: E402
from sqlalchemy.types import TypeDecorator  # noqa: E402

__all__ = ["METADATA", "Connection", "Database", "DatabaseFault", "IntegrityError", "UtcDateTime", "read_data_version"]

Connection = AsyncConnection
"""An open transaction, as `begin()` and `read()` hand it out."""

DatabaseFault = SQLAlchemyError
"""Base of whatever the database refuses or fails at."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every slice's tables are defined on this; the migrations are compared with it."""

_BUSY_MS = 10_000
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
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._write_turn = asyncio.Lock()
        if self.is_sqlite:
            if not self.url.database or self.url.database == ":memory:":
                raise ValueError("an in-memory SQLite database cannot be shared between processes")
            self._writer = _sqlite_engine(url, writes=True)
            self._reader = _sqlite_engine(url, writes=False)
        else:
            self._writer = self._reader = create_async_engine(url, pool_pre_ping=True, hide_parameters=True)
            event.listen(self._writer.sync_engine, "handle_error", _forget_values)

    @property
    def path(self) -> Path:
        """Where the SQLite file lies."""
        if not self.is_sqlite or self.url.database is None:
            raise ValueError("only a SQLite database has a path")
        return Path(self.url.database)

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
        """Open a consistent view that cannot write (SQLite refuses; PostgreSQL is told READ ONLY)."""
        async with self._reader.connect() as connection:
            if not self.is_sqlite:
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                yield connection

    async def read_clock(self) -> datetime | None:
        """Return what the database server's clock says; None for SQLite, which has none of its own."""
        if self.is_sqlite:
            return None
        async with self.read() as db:
            return await db.scalar(select(func.clock_timestamp()))

    async def dispose(self) -> None:
        """Close every pooled connection."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


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


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url, connect_args={"timeout": _BUSY_MS / 1000}, pool_size=1 if writes else 5, hide_parameters=True
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def read_data_version(path: Path) -> Any:
    """Open a plain connection and return a function that reads SQLite's `data_version`.

    The number changes when *another* connection, of this or another process, has committed. Call it from one thread.
    """
    connection = pysqlite3.connect(str(path), isolation_level=None, timeout=_BUSY_MS / 1000)
    connection.execute("PRAGMA query_only=ON")

    def read() -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    return read, connection.close
