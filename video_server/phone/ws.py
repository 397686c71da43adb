"""The room socket of the phone's call page."""

from aiohttp import web

from video_server.accounts import service as accounts
from video_server.calls import service
from video_server.calls.model import Participant, RoomView, State
from video_server.calls.seats import Seat
from video_server.core.database import Connection
from video_server.evidence import drawing as evidence
from video_server.incidents import service as incidents
from video_server.phone import access, state
from video_server.statements import drawing as statements
from video_server.web import app_keys, pages, sessions, sockets

routes = web.RouteTableDef()


@routes.get("/phone/socket", name="phone.socket")
@access.victim
async def room_socket(request: web.Request) -> web.StreamResponse:
    """Carry the room to the phone and the phone's offers to the relay until the page closes."""
    appointment, session_id = request[access.VICTIM].appointment, request[access.VICTIM].session_id
    mine = {"session_id": session_id, "room": appointment.id}
    if (away := await sockets.turn_away(request, **mine)) is not None:
        return away
    clock, force = request.app[app_keys.CLOCK], request.app[app_keys.FORCE]
    async with request.app[app_keys.DATABASE].read() as db:
        person = await service.find_by_session(db, appointment.id, session_id)
        officer = await accounts.find_staff(db, appointment.officer_id)
        incident = await incidents.get_incident(db, appointment.incident_id)
    if person is None:
        raise service.CannotJoin

    def draw(view: RoomView, me: Participant) -> dict[str, object]:
        return state.draw(
            view,
            me,
            officer_id=appointment.officer_id,
            officer_name=officer.name if officer else "",
            collar_number=officer.collar_number if officer else "",
            reference=incident.reference,
            waiting_words=pages.say_clock(me.waiting_since, force) if me.waiting_since else "",
            now=clock(),
        )

    async def more(db: Connection, me: Participant) -> dict[str, object]:
        if me.admitted_at is None or me.state not in {State.ADMITTED, State.LEFT, State.ENDED}:
            return {}
        return {
            "statement": await statements.mark_for_person(db, me.appointment_id),
            "evidence": await evidence.for_person(db, me.appointment_id),
        }

    async def still(db: Connection) -> bool:
        return await sessions.is_still_open(db, session_id, now=clock())

    socket, page = await sockets.open_socket(request, **mine)
    await Seat(request.app, socket, page, draw, still=still, more=more).run(person)
    return socket
