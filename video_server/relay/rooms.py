"""Who is in which room, who may hear whom, and in which slot: pure, no packets, no clock.

A room belongs to an epoch: each time another relay may have owned it in between, its owner counts up. A request
of an older epoch is refused, one of a newer epoch empties the room first.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from video_server.relay.ladder import Rung
from video_server.relay.protocol import PUBLISHABLE, Refused
from video_server.relay.sdp import Kind

MAX_ROOMS = 2000
MAX_PARTICIPANTS = 16
"""Of those let in, and as many who wait: whoever opens links often keeps nobody out who is let in."""
_REMEMBERED_EPOCHS = 10_000


@dataclass(frozen=True, slots=True)
class Seat:
    """What sits in a slot: a participant's microphone and camera, or only its screen."""

    participant: str
    screen: bool = False


@dataclass(slots=True)
class Participant:
    """One participant.

    publish      what of its media may be forwarded at all
    audio_only   its own wish: it is sent no picture, and its own is not forwarded
    rung         where its link stands on the ladder
    screen       it shares one at the moment
    seats        what sits in which of its own slots; stays while the other stays
    told         the `slots` event sent to it last; None: none over this connection
    """

    id: str
    admitted: bool
    echo: bool
    slots: int
    publish: frozenset[str] = frozenset(PUBLISHABLE)
    audio_only: bool = False
    rung: Rung = Rung.FULL
    screen: bool = False
    seats: dict[Seat, int] = field(default_factory=dict)
    told: Any = None

    @property
    def sees(self) -> bool:
        """Say whether it is sent pictures."""
        return not self.audio_only and self.rung.depth < Rung.NO_PICTURE.depth

    @property
    def shows(self) -> bool:
        """Say whether its own pictures are forwarded."""
        return not self.audio_only and self.rung.depth < Rung.SOUND_ONLY.depth

    def sits(self, *, screen: bool) -> bool:
        """Say whether it, or its screen, takes a slot at those who hear it."""
        return self.screen and "screen" in self.publish if screen else not self.publish.isdisjoint({"audio", "video"})


@dataclass(slots=True)
class Room:
    """One room of one epoch. While `held`, nothing is forwarded from one to another.

    sharer   whose screen the others see: of several who share at once one alone, until it stops
    """

    id: str
    epoch: int
    participants: dict[str, Participant] = field(default_factory=dict)
    held: bool = False
    sharer: str | None = None

    def may_hear(self, receiver: Participant, sender: Participant) -> bool:
        """Say whether anything of `sender` may reach `receiver`."""
        if receiver is sender:
            return receiver.echo
        return receiver.admitted and sender.admitted and not receiver.echo and not sender.echo

    def find_kinds(self, receiver: Participant, seat: Seat) -> tuple[Kind, ...]:
        """Return what of `seat` is for this receiver, if it is sent and nobody holds the room."""
        sender = self.participants[seat.participant]
        kinds: tuple[Kind, ...] = ("video",) if seat.screen else ("audio", "video")
        return kinds if receiver.sees and sender.shows else tuple(k for k in kinds if k == "audio")

    def is_stopped(self, receiver: Participant, seat: Seat) -> bool:
        """Say whether a hold stops `seat` for this receiver: oneself in the mirror is nobody else's matter."""
        return self.held and receiver.id != seat.participant

    def reseat(self) -> list[Participant]:
        """Bring all seats up to date; return the receivers whose slots changed.

        Who keeps being heard keeps the slot; who is new takes the lowest free one; who finds none is not heard.
        """
        self._choose_sharer()
        changed = []
        for receiver in self.participants.values():
            wanted = [
                Seat(sender.id, screen)
                for screen in (False, True)
                for sender in self.participants.values()
                if sender.sits(screen=screen) and self.may_hear(receiver, sender) and not self._waits(sender, screen)
            ]
            kept = {seat: slot for seat, slot in receiver.seats.items() if seat in wanted and slot < receiver.slots}
            free = [slot for slot in range(receiver.slots) if slot not in kept.values()]
            for seat in wanted:
                if seat not in kept and free:
                    kept[seat] = free.pop(0)
            if kept != receiver.seats:
                receiver.seats = kept
                changed.append(receiver)
        return changed

    def _choose_sharer(self) -> None:
        """Let who shares go on; else take the first of those who wish to."""
        sharing = [one.id for one in self.participants.values() if one.sits(screen=True) and self._meets(one)]
        if self.sharer not in sharing:
            self.sharer = sharing[0] if sharing else None

    def _waits(self, sender: Participant, screen: bool) -> bool:
        """Say whether this is a screen that another one's keeps out."""
        return screen and self._meets(sender) and sender.id != self.sharer

    def _meets(self, one: Participant) -> bool:
        return one.admitted and not one.echo


class Rooms:
    """All rooms of this relay."""

    def __init__(self) -> None:
        """Start empty."""
        self.rooms: dict[str, Room] = {}
        self._epochs: OrderedDict[str, int] = OrderedDict()  # also of closed rooms, so that a late request is refused
        self._holds: dict[str, tuple[int, bool]] = {}  # version, held; also of rooms that nobody joined yet

    def enter(self, room_id: str, epoch: int) -> Room | None:
        """Check the epoch; return the room that a newer epoch ended, whose participants the caller must close.

        Raises Refused("stale_epoch").
        """
        known = self._epochs.get(room_id)
        if known is not None and epoch < known:
            raise Refused("stale_epoch", f"the room is at epoch {known}")
        if epoch != known:
            self._holds.pop(room_id, None)
        self._epochs[room_id] = epoch
        self._epochs.move_to_end(room_id)
        if len(self._epochs) > _REMEMBERED_EPOCHS:
            oldest = next((name for name in self._epochs if name not in self.rooms), None)
            if oldest is not None:
                del self._epochs[oldest]
                self._holds.pop(oldest, None)
        room = self.rooms.get(room_id)
        if room is not None and room.epoch < epoch:
            return self.rooms.pop(room_id)
        return None

    def put(self, room_id: str, epoch: int, arriving: Participant) -> Room:
        """Put a participant into its room, in place of its former self, whose seats it takes over.

        Raises Refused("full").
        """
        room = self.rooms.get(room_id)
        if room is None:
            if len(self.rooms) >= MAX_ROOMS:
                raise Refused("full", "no more rooms")
            room = self.rooms[room_id] = Room(room_id, epoch, held=self._holds.get(room_id, (0, False))[1])
        former = room.participants.get(arriving.id)
        alike = sum(one.admitted == arriving.admitted for one in room.participants.values())
        if former is None and alike >= MAX_PARTICIPANTS:
            raise Refused("full", "no more participants in the room")
        if former is not None:
            arriving.seats = dict(former.seats)
            arriving.audio_only, arriving.rung = former.audio_only, former.rung
        room.participants[arriving.id] = arriving
        return room

    def hold(self, room_id: str, *, held: bool, version: int) -> Room | None:
        """Hold a room or let it go on, in its present epoch; return it if that is news and anybody is in it.

        version   counts the changes of the room's holds: an older one comes late and changes nothing
        """
        if version < self._holds.get(room_id, (0, False))[0]:
            return None
        self._holds[room_id] = (version, held)
        room = self.rooms.get(room_id)
        if room is not None:
            room.held = held
        return room

    def get(self, room_id: str) -> Room:
        """Return the room. Raises Refused("unknown_room")."""
        room = self.rooms.get(room_id)
        if room is None:
            raise Refused("unknown_room", "no such room")
        return room

    def get_participant(self, room_id: str, participant: str) -> tuple[Room, Participant]:
        """Return room and participant. Raises Refused("unknown_room" or "unknown_participant")."""
        room = self.get(room_id)
        found = room.participants.get(participant)
        if found is None:
            raise Refused("unknown_participant", "no such participant")
        return room, found

    def remove(self, room: Room, participant: str) -> None:
        """Take a participant out; an empty room ends."""
        room.participants.pop(participant, None)
        if not room.participants and self.rooms.get(room.id) is room:
            del self.rooms[room.id]
