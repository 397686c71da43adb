"""What the desk's pages show, read into plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from video_server.accounts import service as accounts
from video_server.appointments import guests as invitations
from video_server.appointments import service as appointments
from video_server.appointments.model import CANCEL_REASONS, OUTCOMES, Appointment, Slot
from video_server.appointments.model import State as Booking
from video_server.calls import roles
from video_server.calls.model import Role
from video_server.core.database import Connection
from video_server.core.errors import N_, NotFound
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.model import Case
from video_server.tasks import service as tasks
from video_server.tasks.model import Task
from video_server.texts import service as texts
from video_server.texts.model import State as Sending
from video_server.texts.model import Text
from video_server.web.i18n import gettext

UPCOMING_SHOWN = 100
DAYS_OFFERED = 3
NOBODY = N_("an officer")


@dataclass(frozen=True)
class Line:
    """One appointment in a list; `day` is its local day."""

    appointment: Appointment
    case: Case
    officer: str
    day: date


@dataclass(frozen=True)
class TaskLine:
    """Something to do. `path` leads to what it is about; `reference` names it."""

    task: Task
    path: str
    reference: str
    overdue: bool


TEXT_KINDS = {
    "booked": N_("Appointment and link"),
    "moved": N_("New time"),
    "cancelled": N_("Cancellation"),
    "reminder": N_("Reminder"),
    "invited": N_("Invitation of a guest"),
}
TEXT_STATES = {
    Sending.DUE: (N_("Waiting to be sent"), "grey"),
    Sending.SENDING: (N_("Being sent"), "blue"),
    Sending.SENT: (N_("Sent, not yet confirmed"), "blue"),
    Sending.DELIVERED: (N_("Delivered"), "green"),
    Sending.FAILED: (N_("Failed: tell them another way"), "red"),
    Sending.VOID: (N_("Withdrawn"), "grey"),
}
STATES = {
    Booking.BOOKED: (N_("Booked"), "blue"),
    Booking.ENDED: (N_("Ended"), "green"),
    Booking.CANCELLED: (N_("Cancelled"), "grey"),
}


@dataclass(frozen=True)
class TextLine:
    """One text of an appointment: what it is for, to which guest if to one, when, what became of it."""

    kind: str
    guest: str
    at: datetime
    state: str
    colour: str


async def read_lines(db: Connection, found: Iterable[Appointment], force: Force) -> list[Line]:
    """Put incident, victim and officer beside each appointment."""
    found = list(found)
    cases = await incidents.list_cases(db, {appointment.incident_id for appointment in found})
    officers = {officer.id: officer.name for officer in await accounts.list_officers(db)}
    return [
        Line(
            a,
            cases[a.incident_id],
            officers.get(a.officer_id, NOBODY),
            a.starts_at.astimezone(force.timezone).date(),
        )
        for a in found
    ]


async def read_tasks(db: Connection, *, now: datetime) -> list[TaskLine]:
    """Return what is open, the most urgent first, each with the way to what it is about."""
    return [
        TaskLine(task, *await _find_subject(db, task.subject), task.due_at < now) for task in await tasks.list_open(db)
    ]


async def _find_subject(db: Connection, subject: str) -> tuple[str, str]:
    """Return the path to what a task is about, and its incident's reference; both empty when it is of no incident."""
    kind, _, id_ = subject.partition(":")
    try:
        incident_id = (await appointments.get(db, id_)).incident_id if kind == "appointment" else id_
        incident = await incidents.get_incident(db, incident_id)
    except NotFound:
        return "", ""
    return f"/desk/{kind}s/{id_}", incident.reference


def read_texts(sent: Sequence[Text], guests: Mapping[str, str]) -> list[TextLine]:
    """Say what became of each text; `guests` are names by id."""
    return [
        TextLine(
            TEXT_KINDS.get(text.kind, text.kind),
            guests.get(text.link_id or "", ""),
            text.sent_at or text.due_at,
            *TEXT_STATES[text.state],
        )
        for text in sent
    ]


async def texts_of(db: Connection, appointment: Appointment) -> list[TextLine]:
    """Return the texts of an appointment, in the order they are due."""
    guests = await invitations.list_all(db, appointment.id)
    named = {one.id: f"{one.name}, {gettext(roles.WORDS[Role(one.role.value)])}" for one in guests}
    return read_texts(await texts.list_for(db, f"appointment:{appointment.id}"), named)


def outcome_words(appointment: Appointment) -> str | None:
    """Return how it ended, or why it was cancelled."""
    words = dict(OUTCOMES) | dict(CANCEL_REASONS)
    code = appointment.outcome or appointment.cancel_reason
    return words.get(code, code) if code else None


def choose_times(slots: Iterable[Slot], force: Force, *, days: int = DAYS_OFFERED) -> list[list[datetime]]:
    """Return starts to offer, by local day: each day's first, then one per appointment length, for so many days."""
    offered: list[list[datetime]] = []
    last = None
    for slot in slots:
        start = slot.starts_at
        local = start.astimezone(force.timezone).date()
        if last is None or local != last.astimezone(force.timezone).date():
            if len(offered) == days:
                break
            offered.append([start])
            last = start
        elif start - last >= max(force.appointment_length, timedelta(minutes=15)):
            offered[-1].append(start)
            last = start
    return offered
