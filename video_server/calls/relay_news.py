"""What relays say of people, written down: who is heard, who is silent, whom only the telephone still reaches."""

import asyncio
from typing import Literal

from video_server.calls import page_news, presence, rooms
from video_server.core.clock import Clock
from video_server.core.database import Connection, Database
from video_server.core.log import get_logger
from video_server.relay.client import RelayEvent

log = get_logger(__name__)

ECHO = "echo-"
"""Rooms of this prefix are somebody's private check and stand in no record."""

_PRESENCE: dict[str, Literal["sound", "silent", "closed"]] = {
    "connected": "sound",
    "heard": "sound",
    "silent": "silent",
    "gone": "closed",
    "left": "closed",
}
_RINGS = frozenset({"rung", "connected"})


class News:
    """Writes in the order in which it came. Every web process hears the same and may write the same."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, RelayEvent]] = asyncio.Queue()

    def put(self, relay: str, event: RelayEvent) -> None:
        """Take an event of the relay of this instance; most are no news."""
        if (event.name in _PRESENCE or event.name in _RINGS) and not event.room.startswith(ECHO):
            self._queue.put_nowait((relay, event))

    async def write(self) -> None:
        """Write until cancelled. What a relay says of a room that is no longer its own is no news."""
        while True:
            relay, event = await self._queue.get()
            try:
                async with self._database.begin() as db:
                    room = await rooms.find_room(db, event.room)
                    if room is not None and room.relay == relay:
                        await self._write(db, event)
            except Exception:
                log.exception("presence_news_lost", participant=event.participant, news=event.name)

    async def _write(self, db: Connection, event: RelayEvent) -> None:
        now = self._clock()
        heard = _PRESENCE.get(event.name)
        if heard == "sound":
            await presence.note_sound(db, event.participant, now=now)
        elif heard is not None:
            await presence.note_silence(db, event.participant, why=heard, now=now)
        if event.name in _RINGS:  # a fresh connection begins on the top rung
            await page_news.note_ring(db, event.participant, on=event.data.get("rung") == "ring", now=now)
