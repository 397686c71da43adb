"""All relays, as this web process sees them: rooms are placed on them, their news is written down.

Placement is a row (`rooms.relay`, `rooms.epoch`): a room whose relay does not answer is placed anew, on the living one
that has least to do, by whoever needs it first; the others see the row and follow.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from aiohttp import web

from video_server.calls import placement, rooms, service
from video_server.calls.relay_link import RelayLink
from video_server.calls.relay_news import ECHO, News
from video_server.core.clock import Clock
from video_server.core.database import Database
from video_server.core.errors import Unavailable
from video_server.relay.client import Control, RelayClient, RelayEvent, RelayLost, RelayRefused

T = TypeVar("T")

FIRST_LOOK_SECONDS = 1.0
MOST_PLACES = 5_000
_TRIES = 4

Listener = Callable[[RelayEvent], None]
LinkListener = Callable[[str, bool], None]


class NoRelay(Unavailable):
    """No relay answers at the moment; the page waits for "relay back" and offers again."""

    code = "relay_lost"


class Relays:
    """Holds the lines, hands events to the seats of this process, and writes presence news to the database."""

    def __init__(self, controls: Mapping[str, Control], database: Database, clock: Clock) -> None:
        """controls   where each relay takes requests, by its name"""
        self.links = [
            RelayLink(name, control, on_event=self._on_event, on_change=self._tell_link)
            for name, control in controls.items()
        ]
        self._database = database
        self._clock = clock
        self._listeners: dict[str, set[Listener]] = {}
        self._link_listeners: set[LinkListener] = set()
        self._room_listeners: dict[str, set[Listener]] = {}
        self._news = News(database, clock)
        self._places: dict[tuple[str, int], str] = {}  # (appointment, epoch) -> relay, of the rooms we dealt with last
        self._echoes: dict[str, str] = {}  # participant -> relay

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relays"]:
        """Keep the lines until the block ends; it begins when it is known which relays are there."""
        tasks = [asyncio.create_task(link.keep(), name=f"relay-{link.name}") for link in self.links]
        tasks.append(asyncio.create_task(self._news.write(), name="relay-news"))
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                for link in self.links:
                    await link.tried.wait()
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    def listen(self, participant_id: str, listener: Listener) -> Callable[[], None]:
        """Hand a participant's relay events to `listener`; returns the way to stop."""
        return _add(self._listeners, participant_id, listener)

    def listen_room(self, appointment_id: str, listener: Listener) -> Callable[[], None]:
        """Hand the relay events of everybody in a room to `listener`; returns the way to stop."""
        return _add(self._room_listeners, appointment_id, listener)

    def listen_link(self, listener: LinkListener) -> Callable[[], None]:
        """Call `listener(relay, True)` when a relay is there, `listener(relay, False)` when it was lost."""
        self._link_listeners.add(listener)
        return lambda: self._link_listeners.discard(listener)

    def lives(self, relay: str) -> bool:
        """Say whether the relay of this instance answers."""
        return any(link.client is not None and link.instance == relay for link in self.links)

    @property
    def takes_rooms(self) -> bool:
        """Say whether any relay takes a new room."""
        return self._choose() is not None

    async def echo(self, *, participant_id: str, offer: str) -> str:
        """Join a private room in which the participant sees and hears itself; return the answer."""
        refused: set[str] = set()
        relay = self._echoes.get(participant_id, "")
        for _ in range(_TRIES):
            if not self.lives(relay) or relay in refused:
                relay = self._choose(refused) or ""
            try:
                answer = await _ask(
                    self._get_client(relay).join(
                        room=ECHO + participant_id,
                        epoch=1,
                        participant=participant_id,
                        offer=offer,
                        admitted=False,
                        echo=True,
                    )
                )
            except RelayRefused as refusal:
                if refusal.code != "draining":
                    raise
                refused.add(relay)
                continue
            self._echoes[participant_id] = relay
            self._promise(relay)
            return answer
        raise NoRelay

    async def leave_echo(self, participant_id: str) -> None:
        """End the private check; no check running is fine."""
        relay = self._echoes.pop(participant_id, "")
        with suppress(NoRelay, RelayRefused):
            await _ask(self._get_client(relay).leave(room=ECHO + participant_id, epoch=1, participant=participant_id))

    def echo_relay(self, participant_id: str) -> str:
        """Return where a participant's check runs, nothing when none does."""
        return self._echoes.get(participant_id, "")

    async def join(
        self, *, appointment_id: str, participant_id: str, offer: str, admitted: bool, publish: Sequence[str]
    ) -> tuple[str, int]:
        """Place the room, join it, and return the answer and the room's epoch.

        publish  kinds of media that are forwarded of this participant, by its role; without any it takes no slot
        Raises   NoRelay, RelayRefused, CannotJoin
        """
        refused: set[str] = set()
        for _ in range(_TRIES):
            relay, epoch = await self._place(appointment_id, refused)
            try:
                answer = await _ask(
                    self._get_client(relay).join(
                        room=appointment_id,
                        epoch=epoch,
                        participant=participant_id,
                        offer=offer,
                        admitted=admitted,
                        publish=publish,
                    )
                )
            except RelayRefused as refusal:
                if refusal.code == "draining":  # and has ended this room, or never had it
                    refused.add(relay)
                elif refusal.code != "stale_epoch":  # somebody has moved the room meanwhile
                    raise
                continue
            self._promise(relay)
            return answer, epoch
        raise NoRelay

    async def restart_ice(self, *, appointment_id: str, epoch: int, participant_id: str, offer: str) -> str:
        """Move a participant's connection to a new path; return the answer. Raises NoRelay, RelayRefused."""
        client = await self._find_client(appointment_id, epoch)
        return await _ask(client.restart_ice(room=appointment_id, epoch=epoch, participant=participant_id, offer=offer))

    async def admit(self, *, appointment_id: str, epoch: int, participant_id: str, admitted: bool) -> None:
        """Open or shut the door for one participant. Raises NoRelay, RelayRefused."""
        client = await self._find_client(appointment_id, epoch)
        await _ask(client.admit(room=appointment_id, epoch=epoch, participant=participant_id, admitted=admitted))

    async def permit(self, *, appointment_id: str, epoch: int, participant_id: str, publish: Sequence[str]) -> None:
        """Say anew what is forwarded of a participant. Raises NoRelay, RelayRefused."""
        client = await self._find_client(appointment_id, epoch)
        await _ask(client.permit(room=appointment_id, epoch=epoch, participant=participant_id, publish=publish))

    async def hold(self, *, appointment_id: str, epoch: int, held: bool, version: int) -> None:
        """Forward nothing of a room, or forward again; a room the relay does not have is fine. Raises NoRelay.

        version   counts the changes, so that what another process says of an older look changes nothing
        """
        with suppress(RelayRefused):
            client = await self._find_client(appointment_id, epoch)
            await _ask(client.hold(room=appointment_id, epoch=epoch, held=held, version=version))

    async def set_audio_only(self, *, appointment_id: str, epoch: int, participant_id: str, on: bool) -> None:
        """Stop or resume pictures to and from a participant, as they wish. Raises NoRelay, RelayRefused."""
        client = await self._find_client(appointment_id, epoch)
        await _ask(client.audio_only(room=appointment_id, epoch=epoch, participant=participant_id, on=on))

    async def leave(self, *, appointment_id: str, epoch: int, participant_id: str) -> None:
        """Take a participant out; one that is out already is fine."""
        with suppress(NoRelay, RelayRefused):
            client = await self._find_client(appointment_id, epoch)
            await _ask(client.leave(room=appointment_id, epoch=epoch, participant=participant_id))

    async def put_out(self, appointment_id: str, participant_id: str) -> None:
        """Take a participant out of whatever relay holds the room, also when their page has lost its line to us."""
        async with self._database.read() as db:
            room = await rooms.find_room(db, appointment_id)
        if room is not None and room.epoch:
            await self.leave(appointment_id=appointment_id, epoch=room.epoch, participant_id=participant_id)

    async def close_room(self, appointment_id: str) -> None:
        """Put everybody out of a room that has ended, and end their checks; also without a line to their page."""
        async with self._database.read() as db:
            room = await rooms.find_room(db, appointment_id)
            people = await service.list_participants(db, [appointment_id])
        for person in people:
            await self._end_echoes(person.id)
        if room is not None and room.epoch:
            with suppress(NoRelay, RelayRefused):
                await _ask(self._get_client(room.relay).close_room(room=appointment_id, epoch=room.epoch))

    async def _end_echoes(self, participant_id: str) -> None:
        """End somebody's check wherever it runs: it may have been begun through another web process."""
        for link in self.links:
            if link.client is not None:
                with suppress(NoRelay, RelayRefused):
                    await _ask(link.client.leave(room=ECHO + participant_id, epoch=1, participant=participant_id))

    async def check(self) -> None:
        """Raise NoRelay when no relay takes a new room (readiness)."""
        if not self.takes_rooms:
            raise NoRelay

    def find_place(self, appointment_id: str, epoch: int) -> str | None:
        """Return the relay that held a room in this epoch, as far as this process has had to do with it."""
        return self._places.get((appointment_id, epoch))

    def note_place(self, appointment_id: str, epoch: int, relay: str) -> None:
        """Remember which relay holds a room in an epoch; of very many, those longest ago are forgotten."""
        self._places[(appointment_id, epoch)] = relay
        while len(self._places) > MOST_PLACES:
            del self._places[next(iter(self._places))]

    async def _place(self, appointment_id: str, refused: set[str]) -> tuple[str, int]:
        living = {link.instance for link in self.links if link.client} - refused
        best = self._choose(refused)
        async with self._database.begin() as db:
            room = await rooms.place(db, appointment_id, living=living, best=best, now=self._clock())
        if room is None:
            raise NoRelay
        self.note_place(appointment_id, room.epoch, room.relay)
        return room.relay, room.epoch

    def _choose(self, refused: set[str] | None = None) -> str | None:
        return placement.choose((link.load for link in self.links if link.load), avoid=refused or ())

    def _promise(self, relay: str) -> None:
        for link in self.links:
            if link.instance == relay:
                link.promised += 1

    def _get_client(self, relay: str) -> RelayClient:
        for link in self.links:
            if link.client is not None and link.instance == relay:
                return link.client
        raise NoRelay

    async def _find_client(self, appointment_id: str, epoch: int) -> RelayClient:
        """Return the line to the relay that held the room in this epoch. Raises NoRelay."""
        relay = self.find_place(appointment_id, epoch)
        if relay is None:
            async with self._database.read() as db:
                room = await rooms.find_room(db, appointment_id)
            if room is None or room.epoch != epoch:
                raise NoRelay
            relay = room.relay
            self.note_place(appointment_id, epoch, relay)
        return self._get_client(relay)

    def _tell_link(self, relay: str, present: bool) -> None:
        for listener in tuple(self._link_listeners):
            listener(relay, present)

    def _on_event(self, link: RelayLink, event: RelayEvent) -> None:
        for listener in (
            *self._listeners.get(event.participant, ()),
            *self._room_listeners.get(event.room, ()),
        ):
            listener(event)
        self._news.put(link.instance, event)


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
