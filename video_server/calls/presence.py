"""Which pages this process holds: their presence is renewed, so that other processes can tell a death."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from video_server.calls import service
from video_server.core.clock import Clock
from video_server.core.database import Database
from video_server.core.log import get_logger

log = get_logger(__name__)

RENEW_SECONDS = 3.0


class Seats:
    """The seats of this process; renews their presence, so that other processes can tell a death."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._sockets: set[str] = set()

    def add(self, socket: str) -> None:
        """Start renewing a socket's presence."""
        self._sockets.add(socket)

    def remove(self, socket: str) -> None:
        """Stop renewing it."""
        self._sockets.discard(socket)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Seats"]:
        """Renew until the block ends."""
        task = asyncio.create_task(self._renew(), name="seats")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self._sockets:
                try:
                    async with self._database.begin() as db:
                        await service.renew_presence(db, sorted(self._sockets), now=self._clock())
                except Exception:
                    log.exception("presence_not_renewed")


SEATS = web.AppKey("seats", Seats)
