"""What one line of the diary says: decided from the appointment, who is in its room, and the time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from video_server.appointments.model import Appointment
from video_server.appointments.model import State as Booking
from video_server.calls.model import Alert, AlertKind, Participant, Role, State

LATE_AFTER = timedelta(minutes=5)
"""Nobody has come this long after the start: said in the diary; a no-show is an outcome a person records."""


class Standing(StrEnum):
    """Where an appointment stands, as the diary says it."""

    BOOKED = "booked"
    CANCELLED = "cancelled"
    ENDED = "ended"
    IN_CALL = "in_call"
    LOST = "lost"  # admitted, but nothing is heard
    WAITING = "waiting"
    ARRIVED = "arrived"  # the link is open, the checks are not done
    LEFT = "left"
    EXITED = "exited"
    UNSAFE = "unsafe"
    NOBODY = "nobody"  # the start has passed and nobody has come
    UNFINISHED = "unfinished"  # the end has passed and no outcome is recorded


@dataclass(frozen=True)
class Line:
    """One appointment in the diary. `since` belongs to the standing: waiting, in the call, lost, left since."""

    appointment: Appointment
    standing: Standing
    since: datetime | None
    sessions: int


def read_line(appointment: Appointment, participants: Iterable[Participant], *, now: datetime) -> Line:
    """Say where an appointment stands.

    participants   everybody of its room, in any order; staff among them are not looked at
    """
    persons = [person for person in participants if person.role is Role.VICTIM]
    standing, since = _standing(appointment, persons, now=now)
    waiting = sum(person.state is State.WAITING and person.is_present(now) for person in persons)
    return Line(appointment, standing, since, waiting)


def _standing(
    appointment: Appointment, persons: Sequence[Participant], *, now: datetime
) -> tuple[Standing, datetime | None]:
    if appointment.state == Booking.CANCELLED:
        return Standing.CANCELLED, None
    if appointment.state == Booking.ENDED:
        return Standing.ENDED, appointment.ended_at
    for person in persons:
        if person.state is State.ADMITTED:
            if person.is_present(now) and person.silent_since is None:
                return Standing.IN_CALL, person.admitted_at
            return Standing.LOST, person.silent_since or person.left_at or person.seen_at
    waiting = [p.waiting_since for p in persons if p.state is State.WAITING and p.is_present(now) and p.waiting_since]
    if waiting:
        return Standing.WAITING, min(waiting)
    here = [p.arrived_at for p in persons if p.state in {State.ARRIVED, State.CHECKING} and p.is_present(now)]
    if here:
        return Standing.ARRIVED, min(here)
    for state, standing in ((State.EXITED, Standing.EXITED), (State.UNSAFE, Standing.UNSAFE)):
        gone = [person for person in persons if person.state is state]
        if gone:
            return standing, max(person.left_at or person.seen_at for person in gone)
    if now >= appointment.ends_at:
        return Standing.UNFINISHED, appointment.ends_at
    left = [person.left_at for person in persons if person.left_at]
    if left:
        return Standing.LEFT, max(left)
    if now - appointment.starts_at >= LATE_AFTER:
        return Standing.NOBODY, appointment.starts_at
    return Standing.BOOKED, None


def open_alerts(alerts: Iterable[Alert]) -> list[Alert]:
    """Return the alerts nobody has dismissed, the gravest kind first, then the latest."""
    order = {AlertKind.UNSAFE: 0, AlertKind.EXITED: 1}
    undone = [alert for alert in alerts if alert.dismissed_at is None]
    return sorted(undone, key=lambda alert: (order[alert.kind], -alert.at.timestamp()))
