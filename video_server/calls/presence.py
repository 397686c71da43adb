"""Who is here: whose page is open, whom the relay hears, and which pages this process holds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from aiohttp import web

from video_server.calls import storage
from video_server.calls.model import EXPLAINED_BY_PAGE, HEARD_BY_RELAY, Participant, State
from video_server.calls.service import get_participant
from video_server.core import events
from video_server.core.clock import Clock
from video_server.core.database import Connection, Database
from video_server.core.log import get_logger

log = get_logger(__name__)

RENEW_SECONDS = 3.0


async def take_socket(db: Connection, person: Participant, *, socket: str, now: datetime) -> None:
    """A page of this participant has opened its socket; an older page of the same session gives way."""
    await storage.participants.take_socket(db, person.id, socket=socket, now=now)
    await events.record(db, "room", person.appointment_id, now=now)


async def drop_socket(db: Connection, person: Participant, *, socket: str, how: str, now: datetime) -> bool:
    """A page's socket has gone: "closed_page" (it said goodbye) or "lost" (it did not); False: a newer one is there."""
    dropped = await storage.participants.drop_socket(db, person.id, socket=socket, how=how, now=now)
    if dropped:
        await events.record(db, "room", person.appointment_id, now=now)
    return dropped


async def renew_presence(db: Connection, sockets: Sequence[str], *, now: datetime) -> None:
    """Say that these sockets are still held by a living process."""
    await storage.participants.renew(db, sockets, now=now)


async def note_silence(db: Connection, participant_id: str, *, why: str, now: datetime) -> None:
    """The relay hears nothing from this participant (any more); begins a gap in the call's record."""
    appointment_id = await storage.participants.set_silent(db, participant_id, since=now)
    if appointment_id is None:
        return
    person = await get_participant(db, participant_id)
    if person.state is State.ADMITTED:
        await storage.gaps.open_gap(db, person, why=why, now=now)
    await events.record(db, "room", appointment_id, now=now)


async def note_sound(db: Connection, participant_id: str, *, now: datetime) -> None:
    """The relay hears this participant (again); ends the gaps that the relay noticed."""
    appointment_id = await storage.participants.set_silent(db, participant_id, since=None)
    closed = await storage.gaps.close_gap(db, participant_id, now=now, why=(*HEARD_BY_RELAY, *EXPLAINED_BY_PAGE))
    if appointment_id is not None or closed:
        person = await get_participant(db, participant_id)
        await events.record(db, "room", person.appointment_id, now=now)


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
                        await renew_presence(db, sorted(self._sockets), now=self._clock())
                except Exception:
                    log.exception("presence_not_renewed")


SEATS = web.AppKey("seats", Seats)
