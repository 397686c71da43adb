"""This web process's line to the relay: kept open, told of its death at once, and its news written down.

Placement is a row (`rooms.relay`, `rooms.epoch`): a room whose relay has died is placed anew by whoever needs it first.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from aiohttp import web

from video_server.calls import page_news, service
from video_server.core.clock import Clock
from video_server.core.database import Database
from video_server.core.errors import Unavailable
from video_server.core.log import get_logger
from video_server.relay.client import RelayClient, RelayEvent, RelayLost, RelayRefused

log = get_logger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 0.05
_ECHO = "echo-"
_NEWS: dict[str, Literal["sound", "silent", "closed"]] = {
    "connected": "sound",
    "heard": "sound",
    "silent": "silent",
    "gone": "closed",
    "left": "closed",
}

Listener = Callable[[RelayEvent], None]
LinkListener = Callable[[bool], None]


class NoRelay(Unavailable):
    """No relay answers at the moment; the page waits for "relay back" and offers again."""

    code = "relay_lost"


class Relays:
    """Holds the connection, hands events to the seats of this process, and writes presence news to the database."""

    def __init__(self, control: Path, database: Database, clock: Clock) -> None:
        self._control = control
        self._database = database
        self._clock = clock
        self._client: RelayClient | None = None
        self._gone = asyncio.Event()
        self._listeners: dict[str, set[Listener]] = {}
        self._room_listeners: dict[str, set[Listener]] = {}
        self._link_listeners: set[LinkListener] = set()
        self._news: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    @property
    def instance(self) -> str | None:
        """The id of the living relay, None while there is none."""
        return self._client.instance if self._client else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relays"]:
        """Keep the connection until the block ends."""
        tasks = [asyncio.create_task(self._keep(), name="relay-link"), asyncio.create_task(self._write_news())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            if self._client is not None:
                await self._client.close()

    def listen(self, participant_id: str, listener: Listener) -> Callable[[], None]:
        """Hand a participant's relay events to `listener`; returns the way to stop."""
        return _add(self._listeners, participant_id, listener)

    def listen_room(self, appointment_id: str, listener: Listener) -> Callable[[], None]:
        """Hand the relay events of everybody in a room to `listener`; returns the way to stop."""
        return _add(self._room_listeners, appointment_id, listener)

    def listen_link(self, listener: LinkListener) -> Callable[[], None]:
        """Call `listener(True)` when a relay is there again, `listener(False)` when it was lost."""
        self._link_listeners.add(listener)
        return lambda: self._link_listeners.discard(listener)

    async def echo(self, *, participant_id: str, offer: str) -> str:
        """Join a private room in which the participant sees and hears itself; return the answer."""
        client = self._get_client()
        return await _ask(
            client.join(
                room=_ECHO + participant_id,
                epoch=1,
                participant=participant_id,
                offer=offer,
                admitted=False,
                echo=True,
            )
        )

    async def leave_echo(self, participant_id: str) -> None:
        """End the private check; no check running is fine."""
        with suppress(NoRelay, RelayRefused):
            await _ask(self._get_client().leave(room=_ECHO + participant_id, epoch=1, participant=participant_id))

    async def join(self, *, appointment_id: str, participant_id: str, offer: str, admitted: bool) -> tuple[str, int]:
        """Place the room, join it, and return the answer and the room's epoch.

        Raises   NoRelay, RelayRefused, CannotJoin
        """
        for attempt in (1, 2):
            client = self._get_client()
            async with self._database.begin() as db:
                room = await service.place(db, appointment_id, relay=client.instance)
            try:
                answer = await _ask(
                    client.join(
                        room=appointment_id,
                        epoch=room.epoch,
                        participant=participant_id,
                        offer=offer,
                        admitted=admitted,
                    )
                )
            except RelayRefused as refusal:
                if refusal.code == "stale_epoch" and attempt == 1:
                    continue
                raise
            return answer, room.epoch
        raise NoRelay

    async def restart_ice(self, *, appointment_id: str, epoch: int, participant_id: str, offer: str) -> str:
        """Move a participant's connection to a new path; return the answer. Raises NoRelay, RelayRefused."""
        client = self._get_client()
        return await _ask(client.restart_ice(room=appointment_id, epoch=epoch, participant=participant_id, offer=offer))

    async def admit(self, *, appointment_id: str, epoch: int, participant_id: str, admitted: bool) -> None:
        """Open or shut the door for one participant. Raises NoRelay, RelayRefused."""
        client = self._get_client()
        await _ask(client.admit(room=appointment_id, epoch=epoch, participant=participant_id, admitted=admitted))

    async def leave(self, *, appointment_id: str, epoch: int, participant_id: str) -> None:
        """Take a participant out; one that is out already is fine."""
        with suppress(NoRelay, RelayRefused):
            await _ask(self._get_client().leave(room=appointment_id, epoch=epoch, participant=participant_id))

    async def close_room(self, appointment_id: str) -> None:
        """Put everybody out of a room that has ended, also those whose page has lost its line to us."""
        async with self._database.read() as db:
            room = await service.find_room(db, appointment_id)
        if room is not None and room.epoch:
            with suppress(NoRelay, RelayRefused):
                await _ask(self._get_client().close_room(room=appointment_id, epoch=room.epoch))

    async def check(self) -> None:
        """Raise NoRelay when no relay answers (readiness)."""
        await _ask(self._get_client().status())

    def _get_client(self) -> RelayClient:
        if self._client is None:
            raise NoRelay
        return self._client

    async def _keep(self) -> None:
        while True:
            self._gone.clear()
            try:
                self._client = await RelayClient.connect(self._control, on_event=self._on_event, on_lost=self._gone.set)
            except RelayLost:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            log.info("relay_found", relay=self._client.instance)
            self._tell_link(present=True)
            await self._gone.wait()
            log.warning("relay_lost", relay=self._client.instance)
            lost, self._client = self._client, None
            self._tell_link(present=False)
            await lost.close()

    def _tell_link(self, *, present: bool) -> None:
        for listener in tuple(self._link_listeners):
            listener(present)

    def _on_event(self, event: RelayEvent) -> None:
        for listener in (
            *self._listeners.get(event.participant, ()),
            *self._room_listeners.get(event.room, ()),
        ):
            listener(event)
        if event.name in _NEWS and not event.room.startswith(_ECHO):
            self._news.put_nowait((event.participant, _NEWS[event.name]))
        if event.name in {"rung", "connected"} and not event.room.startswith(_ECHO):
            is_out = event.data.get("rung") == "ring"  # a fresh connection begins on the top rung
            self._news.put_nowait((event.participant, "ring" if is_out else "no_ring"))

    async def _write_news(self) -> None:
        """Write presence news in the order it came. Every web process hears the same and may write the same."""
        while True:
            participant_id, news = await self._news.get()
            try:
                async with self._database.begin() as db:
                    if news == "sound":
                        await service.note_sound(db, participant_id, now=self._clock())
                    elif news in {"ring", "no_ring"}:
                        await page_news.note_ring(db, participant_id, on=news == "ring", now=self._clock())
                    else:
                        await service.note_silence(db, participant_id, why=news, now=self._clock())
            except Exception:
                log.exception("presence_news_lost", participant=participant_id, news=news)


def _add(listeners: dict[str, set[Listener]], key: str, listener: Listener) -> Callable[[], None]:
    listeners.setdefault(key, set()).add(listener)

    def stop() -> None:
        found = listeners.get(key, set())
        found.discard(listener)
        if not found:
            listeners.pop(key, None)

    return stop


async def _ask(request: Awaitable[T]) -> T:
    try:
        return await request
    except RelayLost as problem:
        raise NoRelay from problem


RELAYS = web.AppKey("relays", Relays)
