"""Events and the bus: rows are truth, the bus only wakes.

`record()` writes an event row in the caller's transaction. In each process one `Bus` notices new rows, made by any
process, and calls who subscribed to their topic. A subscriber looks the truth up; it never learns content from here.
On SQLite the bus polls `PRAGMA data_version` (microseconds a look); on PostgreSQL it LISTENs.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import asyncpg

from video_server.core import storage
from video_server.core.database import Connection, Database, read_data_version
from video_server.core.log import get_logger
from video_server.core.model import Event

log = get_logger(__name__)

POLL_SECONDS = 0.005
BATCH = 500
KEEP_DAYS = 2

Subscriber = Callable[[Event], None]


async def record(db: Connection, topic: str, reference: str, *, now: datetime) -> None:
    """Tell every process, once this transaction commits, that `reference` changed under `topic`."""
    await storage.insert_event(db, topic, reference, now=now)


async def forget_old(db: Connection, *, now: datetime) -> int:
    """Drop wake-ups older than KEEP_DAYS; return how many."""
    return await storage.delete_events_before(db, now - timedelta(days=KEEP_DAYS))


async def newest(db: Connection) -> int:
    """Return the id of the newest event, 0 when there is none."""
    return await storage.latest_event_id(db)


class Bus:
    """Calls subscribers, in this process's event loop, for every event that any process commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscribers: dict[str, set[Subscriber]] = {}
        self._wake = asyncio.Event()
        self._last_id = 0

    def subscribe(self, topic: str, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` (quick, synchronous) for each event of `topic`; returns the way to unsubscribe."""
        self._subscribers.setdefault(topic, set()).add(subscriber)

        def unsubscribe() -> None:
            self._subscribers.get(topic, set()).discard(subscriber)

        return unsubscribe

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bus"]:
        """Deliver events from now on, until the block ends."""
        async with self._database.read() as db:
            self._last_id = await storage.latest_event_id(db)
        waker = _sqlite_waker if self._database.is_sqlite else _postgres_waker
        async with waker(self._database, self._wake.set):
            task = asyncio.create_task(self._deliver(), name="bus")
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _deliver(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._deliver_batch() == BATCH:
                    pass
            except Exception:
                log.exception("bus_read_failed")
                await asyncio.sleep(0.5)
                self._wake.set()

    async def _deliver_batch(self) -> int:
        async with self._database.read() as db:
            events = await storage.list_events_since(db, self._last_id, limit=BATCH)
        for event in events:
            self._last_id = event.id
            for subscriber in tuple(self._subscribers.get(event.topic, ())):
                try:
                    subscriber(event)
                except Exception:
                    log.exception("subscriber_failed", topic=event.topic)
        return len(events)


@asynccontextmanager
async def _sqlite_waker(database: Database, wake: Callable[[], None]) -> AsyncIterator[None]:
    """Watch `data_version` from a thread of its own, so that a busy loop does not delay the look."""
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def watch() -> None:
        read, close = read_data_version(database.path)
        try:
            seen = -1  # the first look always wakes: rows may have come between start and now
            while not stop.wait(POLL_SECONDS):
                version = read()
                if version != seen:
                    seen = version
                    loop.call_soon_threadsafe(wake)
        finally:
            close()

    thread = threading.Thread(target=watch, name="bus-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)


@asynccontextmanager
async def _postgres_waker(database: Database, wake: Callable[[], None]) -> AsyncIterator[None]:
    """LISTEN on a connection of its own; when it breaks, connect anew and look at once."""
    dsn = database.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def listen() -> None:
        while True:
            lost = asyncio.Event()
            try:
                connection = await asyncpg.connect(dsn)
            except (OSError, asyncpg.PostgresError):
                log.warning("bus_cannot_listen")
                await asyncio.sleep(0.5)
                continue
            try:
                connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                await connection.add_listener("events", lambda *_: wake())
                wake()
                await lost.wait()
            finally:
                await connection.close()

    task = asyncio.create_task(listen(), name="bus-listen")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
