"""The guard of the person's pages: `@access.victim` on a handler, then `request[access.VICTIM]` inside."""

from dataclasses import dataclass

from aiohttp import web

from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment, State, room_closes_at
from video_server.core.errors import N_, Forbidden, NotFound
from video_server.incidents import service as incidents
from video_server.incidents.model import Person
from video_server.web import app_keys, guards, pages, sessions


@dataclass(frozen=True)
class VictimSession:
    """One browser that opened the link of one appointment. It sees this appointment and nothing else."""

    session_id: str
    appointment: Appointment
    person: Person


VICTIM = web.RequestKey("victim", VictimSession)


class PageClosed(Forbidden):
    """No session, an ended one, or one that outlived its appointment: all are told alike."""

    code = "page_closed"
    public = N_("This page is closed. To open it again, use your link.")


class AppointmentCancelled(PageClosed):
    code = "appointment_cancelled"
    public = N_("This is cancelled.")


async def _admit(request: web.Request) -> web.StreamResponse | None:
    """Let an open session of a standing appointment in; a page gets plain neutral words, a program the refusal."""
    try:
        request[VICTIM] = await _find_victim(request)
    except PageClosed as refusal:
        if pages.wants_json(request) or "Upgrade" in request.headers:
            raise
        cancelled = isinstance(refusal, AppointmentCancelled)
        return pages.render(
            request, "phone/closed.html", why="cancelled" if cancelled else "closed", status=refusal.status
        )
    return None


async def _find_victim(request: web.Request) -> VictimSession:
    session = await sessions.find_session(request, "phone")
    if session is None:
        raise PageClosed("no session")
    try:
        async with request.app[app_keys.DATABASE].read() as db:
            appointment = await appointments.get(db, session.subject)
            person = await incidents.get_person(db, appointment.person_id)
    except NotFound as problem:
        raise PageClosed("no appointment") from problem
    if appointment.state is State.CANCELLED:
        raise AppointmentCancelled
    if request.app[app_keys.CLOCK]() >= room_closes_at(appointment, request.app[app_keys.FORCE]):
        raise PageClosed("over")
    return VictimSession(session.id, appointment, person)


victim = guards.guard("victim", _admit)
"""Admit a browser that traded a join link for a session, while its appointment stands."""
