"""Which stream goes where: sources and outputs connected as rooms have it, and receivers told who sits in which slot.

This runs when something changes. The hot path only reads `Source.outputs`.
"""

from collections.abc import Callable, Iterator, Mapping

from video_server.core.clock import monotonic
from video_server.relay.counters import Counters
from video_server.relay.peers import Peer
from video_server.relay.protocol import Event
from video_server.relay.rooms import Participant, Room, Seat
from video_server.relay.streams import Output, Source


class Wiring:
    """Connects and cuts.

    peers           by room and participant; read, never changed
    ask_key_frame   called with (source, now) when a receiver is new to a picture
    emit            called with each `slots` event
    """

    def __init__(
        self,
        peers: Mapping[tuple[str, str], Peer],
        counters: Counters,
        ask_key_frame: Callable[[Source, float], None],
        emit: Callable[[Event], None],
    ) -> None:
        """Keep them."""
        self._peers, self._counters = peers, counters
        self._ask_key_frame, self._emit = ask_key_frame, emit

    def cut(self, peer: Peer) -> None:
        """Take a connection out of everything, at once."""
        now = monotonic()
        for source in peer.sources.values():
            for output in source.outputs:
                output.detach(now=now)
            source.outputs = []
        for output in peer.outputs.values():
            if output.source is not None:
                output.source.outputs = [each for each in output.source.outputs if each is not output]
                output.detach(now=now)

    def _wanted(self, room: Room) -> Iterator[tuple[Output, Source]]:
        """Yield which output shall carry which source, by seats, connections and codecs."""
        for receiver in room.participants.values():
            peer = self._peers[(room.id, receiver.id)]
            if not peer.up:
                continue
            for seat, slot in receiver.seats.items():
                if room.is_stopped(receiver, seat):
                    continue
                sender = self._peers[(room.id, seat.participant)]
                for kind in room.find_kinds(receiver, seat):
                    source = sender.find_source(kind, screen=seat.screen)
                    output = peer.outputs.get((slot, kind))
                    if source is None or output is None:
                        continue
                    if output.accepts(source.codec):
                        yield output, source
                    else:
                        self._counters.dropped["codec_mismatch"] += 1

    def rewire(self, room: Room) -> None:
        """Connect sources and outputs as the room has it now, and tell receivers whose slots look different."""
        room.reseat()
        now = monotonic()
        wanted = {id(output): (output, source) for output, source in self._wanted(room)}
        fed: dict[int, list[Output]] = {}
        for participant in room.participants.values():
            for output in self._peers[(room.id, participant.id)].outputs.values():
                _, source = wanted.get(id(output), (output, None))
                if output.source is not source:
                    if output.source is not None:
                        output.detach(now=now)
                    if source is not None:
                        output.attach(source)
                        if source.kind == "video":
                            self._ask_key_frame(source, now)
                if source is not None:
                    fed.setdefault(id(source), []).append(output)
        for participant in room.participants.values():
            for each in self._peers[(room.id, participant.id)].by_mid.values():
                each.outputs = fed.get(id(each), [])
        for receiver in room.participants.values():
            self._tell_slots(room, receiver)

    def _tell_slots(self, room: Room, receiver: Participant) -> None:
        slots = [
            {
                "slot": slot,
                "participant": seat.participant,
                "audio": "audio" in (kinds := self._find_kinds(room, receiver, seat)),
                "video": "video" in kinds,
                "screen": seat.screen,
            }
            for seat, slot in sorted(receiver.seats.items(), key=lambda pair: pair[1])
        ]
        if slots != receiver.told:
            receiver.told = slots
            self._emit(Event("slots", room.id, receiver.id, {"slots": slots}))

    def _find_kinds(self, room: Room, receiver: Participant, seat: Seat) -> set[str]:
        sender = self._peers[(room.id, seat.participant)]
        kinds = room.find_kinds(receiver, seat)
        return {kind for kind in kinds if sender.find_source(kind, screen=seat.screen) is not None}
