"""The guard of a guest's pages: `@guest_access.guest` on a handler, then `request[guest_access.GUEST]` inside."""

from dataclasses import dataclass

from aiohttp import web

from video_server.appointments import guests
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment, Guest, State, room_closes_at
from video_server.core.errors import NotFound
from video_server.phone.access import AppointmentCancelled, PageClosed
from video_server.web import app_keys, pages, sessions
from video_server.web.guards import guard


@dataclass(frozen=True)
class GuestSession:
    """One browser that opened a guest's link. It joins this call and sees nothing else of the appointment."""

    session_id: str
    guest: Guest
    appointment: Appointment


GUEST = web.RequestKey("guest", GuestSession)


async def _admit(request: web.Request) -> web.StreamResponse | None:
    """Let an open session of a standing invitation in, while the call is not over."""
    try:
        request[GUEST] = await _find_guest(request)
    except PageClosed as refusal:
        if pages.wants_json(request) or "Upgrade" in request.headers:
            raise
        why = "cancelled" if isinstance(refusal, AppointmentCancelled) else "ended"
        return pages.render(request, "phone/closed.html", why=why, status=refusal.status)
    return None


async def _find_guest(request: web.Request) -> GuestSession:
    session = await sessions.find_session(request, "guest")
    if session is None:
        raise PageClosed("no session")
    async with request.app[app_keys.DATABASE].read() as db:
        guest = await guests.find_standing(db, session.subject)
        if guest is None:
            raise PageClosed("no invitation")
        try:
            appointment = await appointments.get(db, guest.appointment_id)
        except NotFound as problem:
            raise PageClosed("no appointment") from problem
    if appointment.state is State.CANCELLED:
        raise AppointmentCancelled
    over = request.app[app_keys.CLOCK]() >= room_closes_at(appointment, request.app[app_keys.FORCE])
    if appointment.state is not State.BOOKED or over:
        raise PageClosed("over")
    return GuestSession(session.id, guest, appointment)


guest = guard("guest", _admit)
"""Admit a browser that traded a guest's link for a session, while invitation and call stand."""
