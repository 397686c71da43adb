"""SQLite, each connection in a thread of its own, gone over to as seldom as can be.

aiosqlite goes over to the thread and back for every step: a cursor, its statement, its rows, its end, BEGIN, and a
rollback of nothing when the connection is given back. On a busy machine each of these waits twice for its turn. Here a
statement is one step, which takes its first rows along and begins the transaction when it is the first of one.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pysqlite3

# The system's SQLite may hold the WAL-reset corruption bug (fixed in 3.51.3); aiosqlite imports the module by name.
sys.modules["sqlite3"] = pysqlite3

import aiosqlite  # noqa: E402
from sqlalchemy import event  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine  # noqa: E402

READERS = 4
"""SQLite answers from this process: more at one time are no faster, and each has a thread, a cache and a stack."""

_BUSY_SECONDS = 10
_ROWS_AT_ONCE = 1000
_ITERATED_ROWS = 64
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # NORMAL loses acknowledged commits at a power cut
)


def make_engine(url: str, *, writes: bool) -> AsyncEngine:
    """Return the engine for a file, with one connection that writes or a few that cannot."""
    pragmas = _PRAGMAS if writes else (*_PRAGMAS, "PRAGMA query_only=ON")

    async def connect() -> aiosqlite.Connection:
        arguments, options = engine.dialect.create_connect_args(engine.url)
        return await Connection(partial(_open, *arguments, pragmas=pragmas, **options))

    engine = create_async_engine(url, async_creator=connect, pool_size=1 if writes else READERS, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.connection.driver_connection.begin("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _open(path: str, *, pragmas: Iterable[str], **options: Any) -> Any:
    opened = pysqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, **options)  # we say BEGIN ourselves
    for pragma in pragmas:
        opened.execute(pragma)
    return opened


class Connection(aiosqlite.Connection):
    """What SQLAlchemy's adapter takes for one of aiosqlite's."""

    def __init__(self, connector: Callable[[], Any]) -> None:
        super().__init__(connector, _ITERATED_ROWS)
        self._thread.daemon = True
        self._beginning = ""
        self._is_clean = True  # no transaction is open for sure: nothing was done since the last one ended

    def begin(self, statement: str) -> None:
        """Have the next statement begin a transaction."""
        self._beginning = statement

    def cursor(self) -> Any:
        """Return what one statement is done with."""
        return _Cursor(self)

    async def do(self, work: Callable[[Any], Any]) -> Any:
        """Do something with the thread's own connection, in the transaction that is to begin, if one is."""
        beginning, self._beginning, self._is_clean = self._beginning, "", False
        return await self._execute(_begun, self._conn, beginning, work)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        """Commit what was begun."""
        await self._end(self._conn.commit)

    async def rollback(self) -> None:
        """Roll back what was begun."""
        await self._end(self._conn.rollback)

    async def _end(self, end: Callable[[], None]) -> None:
        self._beginning = ""
        if not self._is_clean:
            # behind whatever the thread is still at, when its caller was cancelled
            await self._execute(end)  # type: ignore[no-untyped-call]
            self._is_clean = True


def _begun(connection: Any, beginning: str, work: Callable[[Any], Any]) -> Any:
    if beginning:
        connection.execute(beginning)
    return work(connection)


class _Cursor:
    """One statement and its rows: the first of them come with it, the others when they are asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._left, self._rows = connection, None, list[Any]()
        self.description: Any = None
        self.rowcount, self.lastrowid, self.arraysize = -1, None, 1

    async def __aenter__(self) -> "_Cursor":
        return self

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> "_Cursor":
        return await self._do(lambda cursor: cursor.execute(operation, parameters))

    async def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> "_Cursor":
        return await self._do(lambda cursor: cursor.executemany(operation, parameters))

    async def _do(self, start: Callable[[Any], Any]) -> "_Cursor":
        self._left, self._rows, self.description, self.rowcount, self.lastrowid = await self._connection.do(
            partial(_carry_out, start)
        )
        return self

    async def fetchone(self) -> Any:
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        size = size or self.arraysize
        if self._left is not None and len(self._rows) < size:
            self._rows += await self._on(self._left.fetchmany, size - len(self._rows))
        found, self._rows = self._rows[:size], self._rows[size:]
        return found

    async def fetchall(self) -> list[Any]:
        if self._left is not None:
            self._rows += await self._on(self._left.fetchall)
        found, self._rows = self._rows, []
        return found

    async def close(self) -> None:
        if self._left is not None:
            left, self._left = self._left, None
            await self._on(left.close)

    def _on(self, work: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return self._connection.do(lambda _: work(*arguments))


def _carry_out(start: Callable[[Any], Any], connection: Any) -> tuple[Any, list[Any], Any, int, int | None]:
    """Return the cursor, if it has more rows, the first rows, and what is known of them."""
    cursor = connection.cursor()
    start(cursor)
    rows = cursor.fetchmany(_ROWS_AT_ONCE) if cursor.description is not None else []
    told = rows, cursor.description, cursor.rowcount, cursor.lastrowid
    if len(rows) == _ROWS_AT_ONCE:
        return (cursor, *told)
    cursor.close()
    return (None, *told)
