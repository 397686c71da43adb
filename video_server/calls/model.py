"""Values of a call: who is in the room, in which state, what went wrong when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LEASE = timedelta(seconds=10)
"""A web process renews the presence of its sockets every few seconds; older than this the process has died."""


COMES_BACK = timedelta(minutes=1)
"""For so long somebody who lost the connection still counts as being in the call: they may be heard any moment."""

SLOTS = 5
"""Receive pairs of sound and picture that a page negotiates up front: four others, and a shared screen."""


class Role(StrEnum):
    """What somebody is in the room."""

    VICTIM = "victim"
    OFFICER = "officer"
    GUARDIAN = "guardian"
    APPROPRIATE_ADULT = "appropriate_adult"
    INTERPRETER = "interpreter"
    INTERMEDIARY = "intermediary"
    SUPPORTER = "supporter"
    SUPERVISOR = "supervisor"  # listens, and is announced for as long as that lasts


class State(StrEnum):
    """Where a participant stands. `unsafe`, `exited`, `replaced`, `removed` and `ended` are final for a session."""

    ARRIVED = "arrived"  # the link was opened
    UNSAFE = "unsafe"  # said it is not safe to talk
    CHECKING = "checking"  # safe; looking at camera and microphone
    WAITING = "waiting"  # ready to be admitted
    ADMITTED = "admitted"  # in the call
    LEFT = "left"  # left by the button; may come back
    EXITED = "exited"  # left on purpose by "Exit this page": do not ring back
    REPLACED = "replaced"  # another session of the same link was admitted
    REMOVED = "removed"  # the officer took this guest out, or took the invitation back
    ENDED = "ended"  # the officer ended the call


FINAL = frozenset({State.UNSAFE, State.EXITED, State.REPLACED, State.REMOVED, State.ENDED})


class Word(StrEnum):
    """What this session answered when asked for the agreed word."""

    NONE = "none"
    RIGHT = "right"
    WRONG = "wrong"


class Watched(StrEnum):
    """Could the person responsible see or hear you?"""

    NO = "no"
    YES = "yes"
    UNKNOWN_PERSON = "unknown_person"  # "I don't know who did it"


class AlertKind(StrEnum):
    """Why the booth is alarmed."""

    UNSAFE = "unsafe"
    EXITED = "exited"


@dataclass(frozen=True)
class Participant:
    """One session in one room.

    connected     its page's socket is open (or its process died less than LEASE ago)
    silent_since  the relay hears nothing from it
    left_how      "button", "closed_page", "lost"
    staff_id      of an officer or supervisor; `name` and `collar_number` are what others in the room are told
    guest_id      of the invitation a guest came by; signs: a BSL interpreter, kept large on every screen
    asked         the officer asks this participant to "mute" or "unmute"; asked_by is the name that is said
    """

    id: str
    appointment_id: str
    session_id: str
    role: Role
    state: State
    device: str
    word: Word
    arrived_at: datetime
    waiting_since: datetime | None
    admitted_at: datetime | None
    left_at: datetime | None
    left_how: str | None
    connected: bool
    seen_at: datetime
    silent_since: datetime | None
    socket: str | None
    staff_id: str | None = None
    name: str = ""
    collar_number: str = ""
    guest_id: str | None = None
    signs: bool = False
    asked: str | None = None
    asked_by: str = ""

    def is_present(self, now: datetime) -> bool:
        """Say whether the page is open, as far as anybody can know."""
        return self.connected and now - self.seen_at <= LEASE

    def is_in_call(self, now: datetime) -> bool:
        """Say whether others must reckon with this participant: admitted, and here or likely to be back by itself."""
        is_coming = self.connected or self.left_how == "lost"
        return self.state is State.ADMITTED and is_coming and now - self.seen_at <= COMES_BACK


@dataclass(frozen=True)
class Room:
    """The room of an appointment and the relay that holds it. An older epoch is refused by the relay."""

    appointment_id: str
    relay: str
    epoch: int
    opened_at: datetime
    ended_at: datetime | None
    outcome: str | None


@dataclass(frozen=True)
class Alert:
    """Something the officer must see before anything else."""

    id: str
    appointment_id: str
    kind: AlertKind
    at: datetime
    dismissed_at: datetime | None
    dismissed_by: str | None


HEARD_BY_RELAY = ("silent", "relay_lost", "closed")
"""Reasons of gaps that the relay notices; they end when it hears the participant again."""

EXPLAINED_BY_PAGE = ("offline", "network_changed", "asleep")
"""What the page may say of a gap that the relay noticed, sometimes before the relay hears the participant again."""

TOLD_BY_PAGE = (*EXPLAINED_BY_PAGE, "interrupted", "device_lost")
"""Reasons that only the page knows: no network, another network, screen locked or page frozen, microphone taken by a
phone call or another app, microphone unplugged or stopped."""


@dataclass(frozen=True)
class Gap:
    """A time in which an admitted participant was not heard, and why; several reasons may overlap."""

    participant_id: str
    began_at: datetime
    ended_at: datetime | None
    why: str


@dataclass(frozen=True)
class Sending:
    """What a participant's page sends, as the page says. audio_only: neither sends nor wants pictures."""

    participant_id: str
    muted: bool = False
    camera_off: bool = False
    audio_only: bool = False


@dataclass(frozen=True)
class Pause:
    """A pause of the call: nothing of the room is forwarded from `began_at` to `ended_at`.

    asked_at, asked_by   when the person asked for it, and as which participant
    began_at             None while it is only asked for, and for good when it was declined
    """

    asked_at: datetime | None
    asked_by: str | None
    began_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Note:
    """The officer's running note; `version` grows with each save, 0 when nothing was written yet."""

    text: str
    version: int
    saved_at: datetime | None


@dataclass(frozen=True)
class RoomView:
    """All a page needs to know of a room, read in one consistent look."""

    room: Room | None
    participants: Sequence[Participant]
    alerts: Sequence[Alert]
    gaps: Sequence[Gap]
    sending: Sequence[Sending] = ()
    pauses: Sequence[Pause] = ()

    @property
    def pause(self) -> Pause | None:
        """Return the pause that goes on or is asked for."""
        return next((pause for pause in self.pauses if pause.ended_at is None), None)

    @property
    def is_held(self) -> bool:
        """Say whether nothing may be forwarded now."""
        return self.pause is not None and self.pause.began_at is not None

    @property
    def hold_version(self) -> int:
        """Return how often a pause began or ended; it never goes back."""
        begun = [pause for pause in self.pauses if pause.began_at is not None]
        return len(begun) + sum(pause.ended_at is not None for pause in begun)

    @property
    def listeners(self) -> Sequence[Participant]:
        """Return the supervisors who listen."""
        return [p for p in self.participants if p.role is Role.SUPERVISOR and p.state is State.ADMITTED]

    def of_session(self, session_id: str) -> Participant | None:
        """Return the participant of a session."""
        return next((person for person in self.participants if person.session_id == session_id), None)

    def by_id(self, participant_id: str) -> Participant | None:
        """Return a participant."""
        return next((person for person in self.participants if person.id == participant_id), None)

    def officer(self, now: datetime, *, own: str) -> Participant | None:
        """Return the appointment's own officer when present, else another who is, else the last who was.

        own   staff id of the appointment's officer; a supervisor who looks in does not take their place
        """
        officers = [person for person in self.participants if person.role is Role.OFFICER]
        present = [person for person in officers if person.is_present(now)]
        found = [person for person in present if person.staff_id == own] or present or officers
        return found[-1] if found else None

    @property
    def admitted(self) -> Participant | None:
        """Return the victim's session that is in the call; guests sit apart."""
        return next((p for p in self.participants if p.role is Role.VICTIM and p.state is State.ADMITTED), None)
