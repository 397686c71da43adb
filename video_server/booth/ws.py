"""The room socket of the booth's call page."""

from aiohttp import web

from video_server.accounts import access
from video_server.accounts import service as accounts
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.booth import people, state
from video_server.booth.access import access_appointment, may_open
from video_server.booth.views import LISTEN
from video_server.calls import arriving, devices, listening, notes
from video_server.calls.model import Participant, RoomView
from video_server.calls.model import Role as RoomRole
from video_server.calls.seats import Seat
from video_server.core.database import Connection
from video_server.evidence import drawing as evidence
from video_server.incidents import service as incidents
from video_server.statements import drawing as statements
from video_server.web import app_keys, sessions, sockets

routes = web.RouteTableDef()


@routes.get("/booth/appointments/{appointment}/socket", name="booth.socket")
@access.staff(Role.OFFICER, Role.SUPERVISOR)
async def room_socket(request: web.Request) -> web.StreamResponse:
    """Seat the appointment's officer or a supervisor; a colleague takes the appointment over first."""
    clock, session_id = request.app[app_keys.CLOCK], request[access.SESSION].id
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await access_appointment(db, request[access.STAFF], request.match_info["appointment"])
        incident = await incidents.get_incident(db, appointment.incident_id)
        victim = await incidents.get_person(db, appointment.person_id)
    mine = {"session_id": session_id, "room": appointment.id}
    if (away := await sockets.turn_away(request, **mine)) is not None:
        return away
    listens = LISTEN in request.query and request[access.STAFF].holds(Role.SUPERVISOR)
    async with request.app[app_keys.DATABASE].begin() as db:
        person = await arriving.arrive(
            db,
            appointment,
            session_id=session_id,
            role=RoomRole.SUPERVISOR if listens else RoomRole.OFFICER,
            device=devices.describe(request.headers.get("User-Agent", "")),
            now=clock(),
            staff=request[access.STAFF],
        )
        person = await listening.turn(db, person, listens=listens, now=clock())

    def draw(view: RoomView, me: Participant) -> dict[str, object]:
        return state.draw(
            view, me, appointment=appointment, reference=incident.reference, name=victim.name, now=clock()
        )

    async def more(db: Connection, me: Participant) -> dict[str, object]:
        note = await notes.get_note(db, me.appointment_id) if me.role is RoomRole.SUPERVISOR else None
        return {
            "note": note and state.draw_note(note),
            "statement": await statements.mark_for_officer(db, me.appointment_id),
            "evidence": await evidence.for_officer(db, me.appointment_id),
            "guests": await people.draw_guests(db, me.appointment_id),
            "needs": await people.draw_needs(db, me.appointment_id, now=clock()),
        }

    async def still(db: Connection) -> bool:
        staff = await accounts.find_staff(db, request[access.STAFF].id)
        if staff is None or not staff.holds(Role.OFFICER, Role.SUPERVISOR):
            return False
        if not await sessions.is_still_open(db, session_id, now=clock()):
            return False
        return await may_open(db, staff, await appointments.get(db, appointment.id))

    socket, page = await sockets.open_socket(request, **mine)
    await Seat(request.app, socket, page, draw, still=still, more=more).run(person)
    return socket
