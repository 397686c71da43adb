"""Who may open which appointment: its officer, a supervisor, and who has taken it over on the record."""

from datetime import datetime

from aiohttp import web

from video_server.accounts import access as staff_access
from video_server.accounts.model import Role, Staff
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment, State
from video_server.audit import service as audit
from video_server.calls import listening
from video_server.core import events
from video_server.core.database import Connection
from video_server.core.errors import N_, Conflict, Forbidden
from video_server.web import app_keys

TAKEN_OVER = "booth.taken_over"
"""The audited deed that lets a colleague in; the record is the permission, so neither exists without the other."""


LOOKING = frozenset({"GET", "HEAD"})


class NotYours(Forbidden):
    """Another officer's appointment; it can be taken over."""

    code = "not_your_appointment"
    public = N_("This is a colleague's appointment. To see the person in their place, take it over first.")

    def __init__(self, appointment: Appointment) -> None:
        super().__init__()
        self.appointment = appointment


class TooLateToTakeOver(Conflict):
    code = "too_late_to_take_over"
    public = N_("This appointment is over, so it cannot be taken over. Ask your supervisor if you need to see it.")


class OnlyListens(Forbidden):
    code = "only_listens"
    public = N_("You are only listening to this call. To do something in it, select “Take part” first.")


async def access_requested(db: Connection, request: web.Request) -> Appointment:
    """Return the appointment that a request of staff is about; who only listens may look and do nothing.

    Raises NotFound, NotYours, OnlyListens
    """
    appointment = await access_appointment(db, request[staff_access.STAFF], request.match_info["appointment"])
    if request.method not in LOOKING and await only_listens(db, request, appointment.id):
        raise OnlyListens
    return appointment


async def only_listens(db: Connection, request: web.Request, appointment_id: str) -> bool:
    """Say whether the staff who ask are in this call only to listen."""
    session_id, now = request[staff_access.SESSION].id, request.app[app_keys.CLOCK]()
    return await listening.listens(db, appointment_id, session_id=session_id, now=now)


async def access_appointment(db: Connection, person: Staff, appointment_id: str) -> Appointment:
    """Return an appointment that this member of staff may open. Raises NotFound, NotYours."""
    appointment = await appointments.get(db, appointment_id)
    if not await may_open(db, person, appointment):
        raise NotYours(appointment)
    return appointment


async def may_open(db: Connection, person: Staff, appointment: Appointment) -> bool:
    """Say whether this member of staff may open an appointment."""
    if person.holds(Role.SUPERVISOR) or appointment.officer_id == person.id:
        return True
    return appointment.id in await taken_over(db, person, [appointment.id])


async def taken_over(db: Connection, person: Staff, appointment_ids: list[str]) -> set[str]:
    """Return which of these appointments the person has taken over."""
    subjects = {f"appointment:{id_}": id_ for id_ in appointment_ids}
    deeds = await audit.list_deeds(db, action=TAKEN_OVER, subjects=list(subjects))
    return {subjects[deed.subject] for deed in deeds if deed.actor == f"staff:{person.id}"}


async def take_over(db: Connection, person: Staff, appointment_id: str, *, now: datetime) -> Appointment:
    """Let a colleague's appointment be opened, on the record; doing it twice records it once.

    Raises NotFound, TooLateToTakeOver
    """
    appointment = await appointments.get(db, appointment_id)
    if await may_open(db, person, appointment):
        return appointment
    if appointment.state != State.BOOKED:
        raise TooLateToTakeOver
    await audit.record(
        db,
        actor=f"staff:{person.id}",
        action=TAKEN_OVER,
        subject=f"appointment:{appointment.id}",
        now=now,
        details={"from": appointment.officer_id},
    )
    for officer_id in (appointment.officer_id, person.id):
        await events.record(db, "diary", officer_id, now=now)
    await events.record(db, "room", appointment.id, now=now)
    return appointment
