"""A seat: one open page of one participant. It joins the page's socket, the rows and the relay.

The rows decide. On every change of the room (and every few seconds anyway) the seat reads them and makes three things
follow: what the page is shown, whether the participant is at the relay, and whether the relay's door is open for it.
Only the seat that holds the participant's socket speaks for it, so two processes never pull in two directions; when
the process dies the page comes back, takes a new seat, and everything follows again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

from video_server.calls import asking, listening, metrics, page_news, pauses, presence, service
from video_server.calls.absences import Absences
from video_server.calls.allowance import Allowance
from video_server.calls.at_relay import AtRelay, Still
from video_server.calls.model import FINAL, Participant, Role, RoomView, State
from video_server.calls.presence import SEATS
from video_server.calls.quality import Meter, Stretch, parse_link, parse_page
from video_server.calls.relays import RELAYS, Relays
from video_server.calls.turn import RENEW_SECONDS as TURN_RENEW_SECONDS
from video_server.calls.turn import TURN, Turn
from video_server.core import keys
from video_server.core.clock import monotonic
from video_server.core.database import Connection
from video_server.core.errors import Refusal
from video_server.core.events import Bus
from video_server.core.log import get_logger
from video_server.core.model import Event
from video_server.relay.client import RelayEvent, RelayRefused
from video_server.web import app_keys, sockets
from video_server.web.sockets import PageSocket

log = get_logger(__name__)

LOOK_AGAIN_SECONDS = 2.0
MOST_OFFERS = 20  # of one page at once: an honest one makes a handful, and one every few seconds while its path is dead
OFFERS_PER_SECOND = 0.5
OPENED_ELSEWHERE = 4001
SESSION_OVER = 4003
MOST_AT_ONCE = 30  # messages of one page: an honest one says a handful and then a ping every few seconds
REFILL_PER_SECOND = 2.0
_GOING_AWAY = {1000, 1001, 1005}
_DEEDS = {"waiting": service.start_waiting, "ask_pause": pauses.ask, "settle_asked": asking.settle}
"""What a page says by one word: each is a function of the participant."""

Draw = Callable[[RoomView, Participant], Mapping[str, Any]]
"""Make the snapshot a page is shown."""

More = Callable[[Connection, Participant], Awaitable[Mapping[str, Any]]]
"""Read what slices above this one add to the snapshot, in the same consistent look."""


class Seat:
    """One page's seat. `run()` lasts as long as the page's socket."""

    def __init__(
        self,
        app: web.Application,
        socket: web.WebSocketResponse,
        page: PageSocket,
        draw: Draw,
        *,
        still: Still,
        more: More | None = None,
    ) -> None:
        self._socket = socket
        self._page = page
        self._draw = draw
        self._still = still
        self._more = more
        self._restarting = app[sockets.RESTARTING]
        self._allowance = Allowance(MOST_AT_ONCE, REFILL_PER_SECOND)
        self._id = keys.new_id()
        self._database = app[app_keys.DATABASE]
        self._clock = app[app_keys.CLOCK]
        self._bus: Bus = app[app_keys.BUS]
        self._relays: Relays = app[RELAYS]
        self._seats = app[SEATS]
        self._look = asyncio.Event()
        self._shown: Mapping[str, Any] | None = None
        self._absences = Absences()
        self._offers = Allowance(MOST_OFFERS, OFFERS_PER_SECOND)
        self._turn_servers: Turn = app[TURN]
        self._turn_renewed_at: float | None = None

    async def run(self, person: Participant) -> None:
        """Hold the seat until the socket closes."""
        self._person = person
        self._at_relay = AtRelay(self._relays, self._database, person, self._still)
        self._meter = Meter(person.id)
        async with self._database.begin() as db:
            await presence.take_socket(db, person, socket=self._id, now=self._clock())
            if person.role is Role.SUPERVISOR:  # announced before anything can be heard
                self._person = await listening.start(db, person, now=self._clock())
        self._seats.add(self._id)
        stops = [
            self._bus.subscribe("room", self._on_room),
            self._relays.listen(person.id, self._on_relay_event),
            self._relays.listen_room(person.appointment_id, self._on_quality),
            self._relays.listen_link(self._on_relay_link),
        ]
        looking = asyncio.create_task(self._keep_looking(), name="seat")
        self._sending: set[asyncio.Task[None]] = set()
        self._look.set()
        try:
            async for message in self._page.messages():
                if not self._allowance.take(monotonic()):
                    await self._page.close(code=1008, reason="too_many_messages")
                    break
                await self._hear(message)
        finally:
            for stop in stops:
                stop()
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            self._seats.remove(self._id)
            await self._give_up()

    async def _give_up(self) -> None:
        """The socket has closed. Its media may live on: the page may only have lost this line."""
        await self._keep(self._meter.close(self._clock()))
        await self._at_relay.leave_echo()
        if self._restarting.is_set():
            return  # this process restarts and the page will be back before its presence runs out
        how = "closed_page" if self._socket.close_code in _GOING_AWAY else "lost"
        listens = self._person.role is Role.SUPERVISOR
        async with self._database.read() as db:  # another page of this session may speak for it now: that one stays
            is_mine = (await service.get_participant(db, self._person.id)).socket == self._id
        if is_mine and (how == "closed_page" or listens):
            await self._at_relay.leave()
        async with self._database.begin() as db:
            if await presence.drop_socket(db, self._person, socket=self._id, how=how, now=self._clock()) and listens:
                await listening.stop(db, self._person, now=self._clock())

    def _on_room(self, event: Event) -> None:
        if event.reference == self._person.appointment_id:
            self._look.set()

    def _on_relay_event(self, event: RelayEvent) -> None:
        if event.name == "slots":
            self._send({"type": "slots", "slots": event.data["slots"]})
        elif event.name in {"connected", "media"}:
            self._send({"type": event.name, "room": "echo" if self._at_relay.is_checking else "call"})

    def _on_quality(self, event: RelayEvent) -> None:
        """Pass on how links are: a page learns of its own, staff's of everybody's."""
        is_own = event.participant == self._person.id
        if event.name not in {"rung", "quality"} or not (is_own or self._person.staff_id is not None):
            return
        self._send({"type": event.name, "of": event.participant, **event.data})
        figures = parse_link(event.data) if is_own and event.name == "quality" else None
        if figures is not None:
            metrics.observe_link(figures, seconds=5)
            self._start(self._keep(self._meter.add_link(figures, self._clock())))

    def _take_figures(self, message: Mapping[str, Any]) -> None:
        figures = parse_page(message)
        if figures is not None:
            metrics.observe_page(figures)
            self._meter.add_page(figures)

    async def _keep(self, stretch: Stretch | None) -> None:
        if stretch is None:
            return
        try:
            async with self._database.begin() as db:
                await page_news.keep_stretch(db, self._person.appointment_id, stretch)
        except Exception:  # figures must not cost the call
            log.exception("figures_not_kept", appointment=self._person.appointment_id)

    def _on_relay_link(self, relay: str, present: bool) -> None:
        if present:
            if not self._at_relay.is_in and not self._at_relay.is_checking:  # the page may be waiting for one
                self._send({"type": "relay", "state": "back"})
        elif relay == self._at_relay.relay:
            self._lose_relay()
        self._look.set()

    def _lose_relay(self) -> None:
        """Our relay is no longer ours: have the page come again, at once where another one takes it."""
        if self._at_relay.forget():
            self._start(self._note_lost_relay())
        self._send({"type": "relay", "state": "lost"})
        if self._relays.takes_rooms:
            self._send({"type": "relay", "state": "back"})

    async def _note_lost_relay(self) -> None:
        async with self._database.begin() as db:
            await presence.note_silence(db, self._person.id, why="relay_lost", now=self._clock())

    def _send(self, message: dict[str, Any]) -> None:
        self._start(self._page.send(message))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _keep_looking(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._follow()
            except Exception:
                log.exception("seat_cannot_look", appointment=self._person.appointment_id)
                await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        """Read the rows and make the page and the relay follow them."""
        async with self._at_relay.turn:
            async with self._database.read() as db:
                view = await service.view(db, self._person.appointment_id)
                person = view.by_id(self._person.id)
                more = await self._more(db, person) if self._more is not None and person is not None else {}
                still = await self._still(db)
            if person is None:
                return
            is_ours = person.socket == self._id
            if is_ours:
                self._person = person
                if await self._at_relay.follow(view, person, still=still):
                    self._lose_relay()
        if not is_ours:
            await self._page.close(code=OPENED_ELSEWHERE, reason="opened_elsewhere")
            return
        for lost in listening.lost(view, self._clock()):
            if lost.id != self._person.id:
                await self._put_out(lost, view)
        if still and person.state not in FINAL:
            self._renew_turn(person)
        shown = {**self._draw(view, person), "sending": _tell_sending(view, person), **more}
        if shown != self._shown:
            self._shown = shown
            await self._page.send({"type": "state", "state": {**shown, "now": self._clock().isoformat()}})
        for absent in self._absences.find(view, self._clock()):
            await self._take_out(absent, view)
        if not still:
            await self._page.close(code=SESSION_OVER, reason="session_over")

    async def _put_out(self, listener: Participant, view: RoomView) -> None:
        """Nobody listens whose page is not there: out of the relay first, then out of what all are told."""
        await self._take_out(listener, view)
        async with self._database.begin() as db:
            await listening.stop(db, listener, now=self._clock())

    async def _take_out(self, person: Participant, view: RoomView) -> None:
        if view.room is not None and view.room.epoch:
            await self._relays.leave(
                appointment_id=person.appointment_id, epoch=view.room.epoch, participant_id=person.id
            )

    def _renew_turn(self, person: Participant) -> None:
        """Give the page a fresh credential while it stands in its room, and never after."""
        now = monotonic()
        if self._turn_renewed_at is not None and now - self._turn_renewed_at < TURN_RENEW_SECONDS:
            return
        self._turn_renewed_at = now
        servers = self._turn_servers.ice_servers(user=person.id, now=self._clock())
        if servers:
            self._send({"type": "ice_servers", "iceServers": servers})

    async def _hear(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        try:
            if kind == "offer":
                await self._offer(message)
            elif kind == "leave":
                await self._leave()
            elif kind == "quality":
                self._take_figures(message)
            elif kind in page_news.KINDS:
                async with self._database.begin() as db:
                    person = await service.get_participant(db, self._person.id)
                    await page_news.hear(db, person, message, now=self._clock())
            elif kind in _DEEDS:
                async with self._database.begin() as db:
                    await _DEEDS[kind](db, self._person.id, now=self._clock())
            elif kind == "ping":
                await self._page.send({"type": "pong"})
            else:
                await self._page.send({"type": "refused", "id": message.get("id"), "code": "unknown_type"})
        except Refusal as refusal:
            await self._page.send({"type": "refused", "id": message.get("id"), "code": refusal.code})
        except RelayRefused as refusal:
            await self._page.send({"type": "refused", "id": message.get("id"), "code": refusal.code})

    async def _offer(self, message: dict[str, Any]) -> None:
        """Answer an offer: an echo, a call, or a new path for the call."""
        sdp, number = message.get("sdp"), message.get("id")
        if not isinstance(sdp, str) or not isinstance(number, int):
            await self._page.send({"type": "refused", "id": number, "code": "bad_offer"})
            return
        if not self._offers.take(monotonic()):
            await self._page.send({"type": "refused", "id": number, "code": "too_many_requests"})
            return
        async with self._at_relay.turn:
            answer = await self._at_relay.answer(
                sdp, echo=message.get("echo") is True, restart=message.get("restart") is True
            )
        await self._page.send({"type": "answer", "id": number, "sdp": answer})
        self._look.set()

    async def _leave(self) -> None:
        await self._keep(self._meter.close(self._clock()))
        async with self._at_relay.turn:
            await self._at_relay.leave()  # first not one packet more, then the record
        async with self._database.begin() as db:
            if self._person.role is Role.SUPERVISOR:
                await listening.stop(db, self._person, now=self._clock())
            else:
                await service.leave(db, self._person.id, now=self._clock())


def _tell_sending(view: RoomView, me: Participant) -> dict[str, dict[str, bool]]:
    """Return by participant in the call what each page says it sends; nothing to who is not in it."""
    if me.state is not State.ADMITTED:
        return {}
    admitted = {person.id for person in view.participants if person.state is State.ADMITTED}
    return {
        one.participant_id: {"muted": one.muted, "camera_off": one.camera_off, "audio_only": one.audio_only}
        for one in view.sending
        if one.participant_id in admitted
    }
