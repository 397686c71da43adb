"""An appointment, its link, and what may be said of both at a given moment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from video_server.core.errors import N_
from video_server.core.force import Force


class State(StrEnum):
    """Where an appointment stands."""

    BOOKED = "booked"
    ENDED = "ended"
    CANCELLED = "cancelled"


class GuestRole(StrEnum):
    """As what somebody is invited to one call; the same codes stand among `calls.model.Role`."""

    GUARDIAN = "guardian"
    APPROPRIATE_ADULT = "appropriate_adult"
    INTERPRETER = "interpreter"
    INTERMEDIARY = "intermediary"
    SUPPORTER = "supporter"


@dataclass(frozen=True)
class Appointment:
    """One person, one officer, one time.

    generation   of the link's token; a new one would make old links die
    agreed_word  said on the phone when booking, never written in a text
    booked_by    a staff id, or "system:<what>"
    ended_at     when the call ended or the appointment was cancelled
    seen_at      when the person was first admitted to the call
    needs        who must be in the call before the person reads or signs a statement
    """

    id: str
    incident_id: str
    person_id: str
    officer_id: str
    starts_at: datetime
    ends_at: datetime
    state: State
    generation: int
    agreed_word: str
    booked_by: str
    booked_at: datetime
    ended_at: datetime | None
    outcome: str | None
    seen_at: datetime | None
    cancel_reason: str | None = None
    needs: tuple[GuestRole, ...] = ()


@dataclass(frozen=True)
class Slot:
    """A start that is still open, and the officers who are free for the whole length."""

    starts_at: datetime
    officer_ids: tuple[str, ...]


LinkState = Literal["open", "early", "over", "cancelled", "unknown"]


@dataclass(frozen=True)
class LinkView:
    """What a join link leads to now. An unknown link carries nothing."""

    state: LinkState
    appointment: Appointment | None


@dataclass(frozen=True)
class Guest:
    """An invitation to one call and nothing else.

    name        as everybody in the call is told
    language    of their pages and texts
    signs       a BSL interpreter
    person_id   whom texts go to; None when the link is passed on in another way
    generation  of the link's token
    """

    id: str
    appointment_id: str
    role: GuestRole
    name: str
    language: str
    signs: bool
    person_id: str | None
    generation: int
    invited_by: str
    invited_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class GuestLinkView:
    """What a guest's link leads to now. An unknown link carries nothing."""

    state: LinkState
    guest: Guest | None = None
    appointment: Appointment | None = None


def guest_link_state(guest: Guest, appointment: Appointment, *, now: datetime, force: Force) -> LinkState:
    """Say what a guest's link leads to at `now`: it ends with the call, and with the invitation."""
    if appointment.state is State.ENDED:
        return "over"
    return link_state(appointment, voided=guest.revoked_at is not None, now=now, force=force)


OUTCOMES = (
    ("seen", N_("Seen: the appointment was completed")),
    ("rebook", N_("Started, another appointment is needed")),
    ("no_answer", N_("The person did not join")),
    ("officer_to_attend", N_("An officer will attend in person")),
    ("withdrew", N_("The person does not want to go on")),
    ("technical", N_("Sound or picture failed; another way is needed")),
)
"""Code and words of each outcome the officer chooses from."""

CANCEL_REASONS = (
    ("person_asked", N_("The person asked for it")),
    ("other_way", N_("They will be seen in another way")),
    ("not_safe", N_("Video is not safe for them")),
    ("officer_unavailable", N_("No officer is available")),
    ("booked_in_error", N_("It was booked in error")),
)
"""Code and words of each reason to cancel."""


MOVE_REASONS = (
    ("person_asked", N_("The person asked for it")),
    ("officer_unavailable", N_("The officer is not available")),
    ("not_ready", N_("They could not join, or were not ready")),
    ("booked_in_error", N_("It was booked in error")),
)
"""Code and words of each reason to move."""


def is_outcome(code: str) -> bool:
    """Say whether the code is one of OUTCOMES."""
    return any(code == known for known, _ in OUTCOMES)


def is_cancel_reason(code: str) -> bool:
    """Say whether the code is one of CANCEL_REASONS."""
    return any(code == known for known, _ in CANCEL_REASONS)


def is_move_reason(code: str) -> bool:
    """Say whether the code is one of MOVE_REASONS."""
    return any(code == known for known, _ in MOVE_REASONS)


def order_needs(needs: Iterable[GuestRole]) -> tuple[GuestRole, ...]:
    """Return each role once, in the order of GuestRole."""
    wanted = set(needs)
    return tuple(role for role in GuestRole if role in wanted)


def room_opens_at(appointment: Appointment, force: Force) -> datetime:
    """Return from when the person may check their camera and wait."""
    return appointment.starts_at - force.room_opens_before


def room_closes_at(appointment: Appointment, force: Force) -> datetime:
    """Return until when the page of the appointment lasts."""
    return appointment.ends_at + force.room_stays_after


def link_state(appointment: Appointment, *, voided: bool, now: datetime, force: Force) -> LinkState:
    """Say what the link of an appointment leads to at `now`; an ended call keeps its page until it closes."""
    if now >= room_closes_at(appointment, force):
        return "over"
    if voided or appointment.state is State.CANCELLED:
        return "cancelled"
    if appointment.state is State.BOOKED and now < room_opens_at(appointment, force):
        return "early"
    return "open"
