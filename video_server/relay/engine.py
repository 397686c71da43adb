"""The relay without its socket to the web: rooms, connections and media put together. One thread, one loop."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from video_server.core.clock import monotonic
from video_server.core.log import get_logger
from video_server.relay import transport
from video_server.relay.compiled import FORWARDERS
from video_server.relay.counters import Counters
from video_server.relay.feedback import Feedback
from video_server.relay.ladder import Ladder
from video_server.relay.limits import LEARN_COST, RTCP_BYTE_COST, RTCP_COST
from video_server.relay.liveness import PROBE_AFTER_SECONDS, Change, Liveness
from video_server.relay.peers import Peer, assign_sending
from video_server.relay.port import Port
from video_server.relay.protocol import (
    Admit,
    AudioOnly,
    CloseRoom,
    Drain,
    Event,
    Hold,
    Join,
    Leave,
    Permit,
    Refused,
    Request,
    RestartIce,
)
from video_server.relay.rooms import Participant, Room, Rooms
from video_server.relay.sdp import BadOffer, Endpoint, Offer, parse_offer, render_answer
from video_server.relay.stalls import Stalls
from video_server.relay.streams import Source
from video_server.relay.wiring import Wiring

SCREEN_IDLE_SECONDS = 5.0
"""A screen that sent nothing for so long is no longer shared; a still one sends about once a second."""

_LIVENESS_SECONDS = 0.25
_STALL_SECONDS = 1.0
_log = get_logger(__name__)


class Engine:
    """Answers requests, forwards, reports.

    emit        called with each Event
    forwarder   which, by its name in compiled.FORWARDERS
    """

    def __init__(
        self,
        *,
        udp_hosts: Sequence[str],
        udp_port: int,
        addresses: Sequence[str],
        emit: Callable[[Event], None],
        forwarder: str = "python",
    ) -> None:
        """Bind the port. Raises OSError, or CannotStart when the forwarder wanted is not built."""
        self.instance = secrets.token_hex(16)
        self.counters = Counters()
        self.rooms = Rooms()
        self.stalls = Stalls()
        self.draining = False
        self.packets_per_second = 0
        self._emit = emit
        self._certificate = transport.Certificate()
        self.port = Port(udp_hosts, udp_port, self.counters)
        self._candidates = tuple((address, self.port.number) for address in addresses)
        self._peers: dict[tuple[str, str], Peer] = {}
        self._liveness: dict[tuple[str, str], Liveness] = {}
        self._liveness_due = 0.0
        self._ticked_at = 0.0
        self._packets_counted = (0, monotonic())
        self._closing: set[Any] = set()
        self._wiring = Wiring(
            self._peers, self.counters, lambda source, now: self.feedback.ask_key_frame(source, now=now), emit
        )
        self.forwarder = FORWARDERS[forwarder](
            self.port,
            self.counters,
            on_source=self._learn,
            on_rtcp=self._receive_rtcp,
            on_other=self.port.receive,
            on_gap=lambda source, first, count: self.feedback.note_gap(source, first, count, now=monotonic()),
        )
        self.feedback = Feedback(self.counters, self._send_rtcp, self.forwarder.resend, self._look)

    # -- requests

    def handle(self, request: Request) -> dict[str, Any]:
        """Do what is asked and return the result. Raises Refused."""
        match request:
            case Join():
                return {"answer": self._join(request)}
            case RestartIce():
                return {"answer": self._restart_ice(request)}
            case Admit() | Permit() | AudioOnly():
                self._change(request)
            case Leave():
                self._enter(request.room, request.epoch)
                room, _ = self.rooms.get_participant(request.room, request.participant)
                self._remove(room, request.participant, "left", {"reason": "leave"})
            case Hold():
                self._enter(request.room, request.epoch)
                held = self.rooms.hold(request.room, held=request.held, version=request.version)
                if held is not None:
                    self._wiring.rewire(held)
            case CloseRoom():
                self._enter(request.room, request.epoch)
                self._empty(self.rooms.get(request.room), "closed")
            case Drain():
                self.draining = request.on
            case _:
                return self.status()
        return {}

    def _enter(self, room_id: str, epoch: int) -> None:
        ended = self.rooms.enter(room_id, epoch)
        if ended is not None:
            self._empty(ended, "epoch")

    def _join(self, request: Join) -> str:
        offer = _parse(request.offer)
        if self.draining and request.room not in self.rooms.rooms:
            raise Refused("draining", "this relay takes no new rooms")
        self._enter(request.room, request.epoch)
        arriving = Participant(
            request.participant, request.admitted, request.echo, offer.slots, frozenset(request.publish)
        )
        room = self.rooms.put(request.room, request.epoch, arriving)
        key = (request.room, request.participant)
        former = self._peers.pop(key, None)
        if former is not None:
            self._disconnect(former)
        ladder = former.ladder if former is not None else Ladder()  # it is most likely the same radio
        peer = self._connect(request, offer, ladder)
        self._peers[key] = peer
        self._liveness[key] = Liveness(now=monotonic())
        self._wiring.rewire(room)
        peer.link.start()
        return self._answer(peer)

    def _connect(self, request: Join, offer: Offer, ladder: Ladder) -> Peer:
        link = transport.Link(
            self.port,
            self._certificate,
            offer,
            on_up=lambda: self._come_up(peer),
            on_down=lambda reason: self._go_down(peer, reason),
            on_moved=lambda: peer.move(),
        )
        peer = Peer(
            request.room,
            request.participant,
            offer,
            assign_sending(offer),
            link,
            frozenset(request.publish),
            ladder=ladder,
            now=monotonic(),
        )
        peer.set_lean(lean=ladder.lean)
        return peer

    def _answer(self, peer: Peer) -> str:
        endpoint = Endpoint(peer.link.ufrag, peer.link.password, self._certificate.sha256, self._candidates)
        return render_answer(peer.offer, peer.sending, endpoint, version=peer.answers)

    def _restart_ice(self, request: RestartIce) -> str:
        offer = _parse(request.offer)
        self._enter(request.room, request.epoch)
        self.rooms.get_participant(request.room, request.participant)
        peer = self._peers[(request.room, request.participant)]
        same = [(line.mid, line.kind, line.receives) for line in offer.lines] == [
            (line.mid, line.kind, line.receives) for line in peer.offer.lines
        ]
        if not same or offer.fingerprints != peer.offer.fingerprints:
            raise Refused("bad_offer", "an ICE restart must keep the m-lines and the certificate")
        if peer.link.failed:
            raise Refused("unknown_participant", "the connection is over: join again")
        if offer.ufrag != peer.offer.ufrag:
            peer.link.restart(offer.ufrag, offer.password)
        peer.offer = offer
        peer.answers += 1
        return self._answer(peer)

    def _change(self, request: Admit | Permit | AudioOnly) -> None:
        self._enter(request.room, request.epoch)
        room, participant = self.rooms.get_participant(request.room, request.participant)
        if isinstance(request, Admit):
            participant.admitted = request.admitted
        elif isinstance(request, AudioOnly):
            participant.audio_only = request.on
        else:
            participant.publish = frozenset(request.publish)
            self._peers[(room.id, participant.id)].permit(participant.publish)
        self._wiring.rewire(room)

    def _empty(self, room: Room, reason: str) -> None:
        for participant in list(room.participants):
            self._remove(room, participant, "left", {"reason": reason})

    def _remove(self, room: Room, participant: str, event: str, data: dict[str, Any]) -> None:
        key = (room.id, participant)
        peer = self._peers.pop(key)
        del self._liveness[key]
        self.rooms.remove(room, participant)
        self._disconnect(peer)
        self._wiring.rewire(room)
        self._emit(Event(event, room.id, participant, data))

    def close_all(self, reason: str) -> None:
        """End every room."""
        for room in list(self.rooms.rooms.values()):
            self._empty(room, reason)

    # -- connections

    def _come_up(self, peer: Peer) -> None:
        peer.come_up()
        peer.link.media = peer
        peer.link.heard_at = monotonic()  # its last word of the handshake: since its last check seconds may have passed
        self._liveness[(peer.room, peer.participant)].connected = True
        self._emit(Event("connected", peer.room, peer.participant, {"cipher": peer.link.profile}))
        self._wiring.rewire(self.rooms.rooms[peer.room])

    def _go_down(self, peer: Peer, reason: str) -> None:
        peer.rx = None
        peer.link.media = None
        self._wiring.rewire(self.rooms.rooms[peer.room])  # nothing more is sent to where nobody listens
        liveness = self._liveness[(peer.room, peer.participant)]
        if liveness.hang_up(now=monotonic()) is Change.SILENT:
            self._emit(Event("silent", peer.room, peer.participant, {"reason": reason}))
        else:
            _log.info("connection_failed", room=peer.room, participant=peer.participant, reason=reason)

    def _disconnect(self, peer: Peer) -> None:
        """Let not one packet more flow from or to this connection."""
        self._wiring.cut(peer)
        task = peer.link.close()
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # -- media

    def _learn(self, peer: Peer, ssrc: int, payload_type: int, block: bytes) -> Source | None:
        known = peer.sources.get(ssrc)
        source = peer.learn(ssrc, payload_type, block)
        if isinstance(source, str):
            self.counters.dropped[source] += 1
            return None
        peer.credit -= LEARN_COST
        room = self.rooms.rooms[peer.room]
        if source is known:
            for output in source.outputs:  # another codec: attach anew
                output.detach(now=monotonic())
            source.outputs = []
        elif source.screen:
            self._share_screen(room, peer, shared=True)
        self._wiring.rewire(room)
        if source.kind not in peer.kinds_seen:
            peer.kinds_seen.append(source.kind)
            self._emit(Event("media", peer.room, peer.participant, {"kinds": list(peer.kinds_seen)}))
        return source

    def _share_screen(self, room: Room, peer: Peer, *, shared: bool) -> None:
        room.participants[peer.participant].screen = shared

    def _look(self, peer: Peer, now: float) -> None:
        """Let a participant's link stand on the rung that it can carry, and tell how it does."""
        peer.look(now=now)
        former, peer.ladder = peer.ladder, peer.ladder.step(peer.sight, now=now)
        if peer.ladder.lean != former.lean:
            peer.set_lean(lean=peer.ladder.lean)
        if peer.ladder.rung is not former.rung:
            room = self.rooms.rooms[peer.room]
            room.participants[peer.participant].rung = peer.ladder.rung
            self._wiring.rewire(room)
            self._emit(Event("rung", peer.room, peer.participant, {"rung": peer.ladder.rung}))
        quality = peer.meter.sum_up(peer.sources.values(), peer.ladder.rung, now=now)
        if quality is not None:
            self._emit(Event("quality", peer.room, peer.participant, quality))

    def _receive_rtcp(self, peer: Peer, data: bytes) -> None:
        clear = peer.link.unprotect_rtcp(data)
        if clear is None:
            self.counters.dropped["rtcp_not_authentic"] += 1
            return
        now = monotonic()
        peer.link.heard_at = now
        peer.credit -= RTCP_COST + RTCP_BYTE_COST * len(clear)
        if peer.credit < 0:
            self.counters.dropped["too_much"] += 1
            return
        self.feedback.receive(peer, clear, now=now)

    def _send_rtcp(self, peer: Peer, data: bytes) -> None:
        packet = peer.link.protect_rtcp(data) if peer is not None else None
        if packet is not None:
            peer.link.send(packet)

    # -- time

    def tick(self, *, now: float) -> None:
        """Do what is due; to be called every feedback.TICK_SECONDS."""
        self.feedback.tick(self._peers.values(), now=now)
        if now - self._ticked_at > _STALL_SECONDS:
            # The loop was held up: what arrived meanwhile is still unread, so nobody may be called silent yet; and who
            # says nothing by itself was not asked.
            self._liveness_due = now + _LIVENESS_SECONDS
            for peer in self._peers.values():
                peer.link.probe()
        self._ticked_at = now
        if now >= self._liveness_due:
            self._liveness_due = now + _LIVENESS_SECONDS
            self._watch(now=now)
        self._count_packets(now=now)

    def _count_packets(self, *, now: float) -> None:
        packets, at = self._packets_counted
        if now - at >= 1.0:
            total = self.counters.received + self.counters.forwarded
            self.packets_per_second = round((total - packets) / (now - at))
            self._packets_counted = (total, now)

    def _watch(self, *, now: float) -> None:
        for key, liveness in list(self._liveness.items()):
            peer = self._peers.get(key)
            if peer is None or self._liveness.get(key) is not liveness:
                continue
            change = liveness.observe(peer.link.heard_at, now=now)
            if change is Change.GONE:
                self._remove(self.rooms.rooms[peer.room], peer.participant, "gone", {"reason": "silent"})
                continue
            if change is not None:
                self._emit(Event(change, peer.room, peer.participant, {}))
            if liveness.connected and now - peer.link.heard_at >= PROBE_AFTER_SECONDS:
                peer.link.probe()
            self._watch_screen(peer, now=now)

    def _watch_screen(self, peer: Peer, *, now: float) -> None:
        source = peer.find_source("video", screen=True)
        if source is None:
            return
        room = self.rooms.rooms[peer.room]
        shared = now - source.seen_at < SCREEN_IDLE_SECONDS
        if room.participants[peer.participant].screen != shared:
            self._share_screen(room, peer, shared=shared)
            self._wiring.rewire(room)

    def status(self) -> dict[str, Any]:
        """Return figures: no names, no addresses."""
        peers = self._peers.values()
        return {
            "instance": self.instance,
            "rooms": len(self.rooms.rooms),
            "participants": len(self._peers),
            "connected": sum(peer.up for peer in peers),
            "draining": self.draining,
            "udp_port": self.port.number,
            "packets_per_second": self.packets_per_second,
            "loop_stall_max_ms": self.stalls.find_recent_ms(),
            "loop_stalls": self.stalls.count(),
            "counters": self.counters.snapshot(),
        }

    async def close(self) -> None:
        """End everything and free the port."""
        self.close_all("shutdown")
        if self._closing:
            await asyncio.wait(list(self._closing), timeout=2.0)
        self.port.close()


def _parse(text: str) -> Offer:
    try:
        return parse_offer(text)
    except BadOffer as problem:
        raise Refused("bad_offer", str(problem)) from problem
