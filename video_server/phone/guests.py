"""A guest's way from the link to goodbye: what they come as, what they will see and not see, the call, the way out.

The call's page is the person's own document; nothing of statements, evidence or the case is put into it, but for an
interpreter the statement that is taken through them.
"""

from datetime import timedelta
from typing import Any

from aiohttp import web

from video_server.appointments import guests as invitations
from video_server.appointments.model import GuestLinkView, GuestRole, room_closes_at, room_opens_at
from video_server.calls import guests as calls_guests
from video_server.calls import roles
from video_server.calls import service as calls
from video_server.calls.model import SLOTS, Participant, Role, RoomView
from video_server.calls.model import State as RoomState
from video_server.calls.seats import Seat
from video_server.core.database import Connection
from video_server.core.errors import Refusal
from video_server.incidents import service as incidents
from video_server.phone import doors, guest_access, state, views, words
from video_server.phone.steps import parse_token
from video_server.statements import drawing as statements
from video_server.web import app_keys, guards, i18n, limits, pages, sessions, sockets

routes = web.RouteTableDef()

_WINDOW = timedelta(minutes=10)
_TRADES = 20


@routes.get("/g/{token:.*}", name="guest.link")
@guards.public
async def show_link(request: web.Request) -> web.Response:
    """Show a neutral page with one button; nothing of the call or the guest, and nothing changes."""
    view = await _find_link(request)
    if view.state in {"open", "early"}:
        return pages.render(request, "phone/link.html")
    return await doors.no_link(request, view.state)


@routes.post("/g/{token:.*}")
@guards.public
async def trade_link(request: web.Request) -> web.Response:
    """Trade a guest's link for a session of its own; 303 to the guest's page."""
    token = parse_token(request.match_info["token"])
    view = await _find_link(request)
    if token is None or view.state not in {"open", "early"}:
        return await doors.no_link(request, view.state)
    await limits.limit(request, "trade", f"{limits.remote(request)} {token}", most=_TRADES, window=_WINDOW)
    now, force = request.app[app_keys.CLOCK](), request.app[app_keys.FORCE]
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            _, secret, guest, _ = await invitations.trade(
                db, token, now=now, force=force, keys=request.app[app_keys.KEYS]
            )
    except Refusal:  # taken back or over since we looked
        return await doors.no_link(request, (await _find_link(request)).state)
    response = pages.see_other(request, "guest.show")
    sessions.set_cookie(response, "guest", secret)
    if "lang" not in request.cookies:
        response.set_cookie("lang", i18n.choose(guest.language), path="/", secure=True, httponly=True, samesite="Lax")
    raise response


async def _find_link(request: web.Request) -> GuestLinkView:
    token = parse_token(request.match_info["token"])
    if token is None:
        return invitations.UNKNOWN
    async with request.app[app_keys.DATABASE].read() as db:
        return await invitations.find_link(
            db,
            token,
            now=request.app[app_keys.CLOCK](),
            force=request.app[app_keys.FORCE],
            keys=request.app[app_keys.KEYS],
        )


@routes.get("/guest", name="guest.show")
@guest_access.guest
async def show(request: web.Request) -> web.Response:
    """Say as what they join, whom and when, what they will see and hear, and what not."""
    return pages.render(request, "phone/guest.html", **await _look(request))


@routes.post("/guest", name="guest.start")
@guest_access.guest
async def start(request: web.Request) -> web.Response:
    """Take a place before the door; 303 to the call's page, or back while it is too early."""
    here, now = request[guest_access.GUEST], request.app[app_keys.CLOCK]()
    if now < room_opens_at(here.appointment, request.app[app_keys.FORCE]):
        raise pages.see_other(request, "guest.show")
    device = doors.describe_device(request)
    async with request.app[app_keys.DATABASE].begin() as db:
        await calls_guests.arrive(db, here.appointment, here.guest, session_id=here.session_id, device=device, now=now)
    raise pages.see_other(request, "guest.call")


@routes.get("/guest/call", name="guest.call")
@guest_access.guest
async def show_call(request: web.Request) -> web.Response:
    """Show the person's own document of check, waiting and call, without what is not for a guest."""
    here = request[guest_access.GUEST]
    async with request.app[app_keys.DATABASE].read() as db:
        if await calls.find_by_session(db, here.appointment.id, here.session_id) is None:
            raise pages.see_other(request, "guest.show")
    values = await _look(request)
    app = request.app
    link = invitations.guest_url(here.guest, key_ring=app[app_keys.KEYS], public_url=app[app_keys.PUBLIC_URL])
    page_words = words.call_page(values["officer"], phone=values["phone"], reference=values["reference"])
    data = {
        "socket": str(app.router["guest.socket"].url_for()),
        "home": str(app.router["guest.show"].url_for()),
        "iceServers": [],
        "slots": SLOTS,
        "officer": values["officer"]["name"],
        "words": page_words,
        "after": {},
    }
    return pages.render(request, "phone/call.html", link=link, words=page_words, data=data, next="", **values)


@routes.get("/guest/socket", name="guest.socket")
@guest_access.guest
async def room_socket(request: web.Request) -> web.StreamResponse:
    """Carry the room to a guest's page, without a word of the case, until the page closes."""
    here, clock = request[guest_access.GUEST], request.app[app_keys.CLOCK]
    mine = {"session_id": here.session_id, "room": here.appointment.id}
    if (away := await sockets.turn_away(request, **mine)) is not None:
        return away
    force = request.app[app_keys.FORCE]
    async with request.app[app_keys.DATABASE].read() as db:
        person = await calls.find_by_session(db, here.appointment.id, here.session_id)
        officer = await views.read_officer(db, here.appointment.officer_id)
        reference = (await incidents.get_incident(db, here.appointment.incident_id)).reference
    if person is None:
        raise calls.CannotJoin

    def draw(view: RoomView, me: Participant) -> dict[str, object]:
        return state.draw(
            view,
            me,
            officer_id=here.appointment.officer_id,
            officer_name=officer["name"],
            collar_number=officer["collar_number"],
            reference=reference,
            waiting_words=pages.say_clock(me.waiting_since, force) if me.waiting_since else "",
            now=clock(),
        )

    async def more(db: Connection, me: Participant) -> dict[str, object]:
        if me.role is not Role.INTERPRETER or me.state is not RoomState.ADMITTED:
            return {}
        mark = await statements.mark_for_interpreter(db, me.appointment_id)
        return {} if mark is None else {"statement": mark}

    async def still(db: Connection) -> bool:
        standing = await invitations.find_standing(db, here.guest.id)
        return standing is not None and await sessions.is_still_open(db, here.session_id, now=clock())

    socket, page = await sockets.open_socket(request, **mine)
    await Seat(request.app, socket, page, draw, still=still, more=more).run(person)
    return socket


@routes.post("/guest/exit", name="guest.exit")
@guards.public
async def exit_page(request: web.Request) -> web.Response:
    """Leave at once: end the session, and go to the neutral site whatever happens."""
    return await doors.leave(request, "guest", calls_guests.exit_on_purpose)


@routes.get("/guest/exit")
@guards.public
async def show_exit(request: web.Request) -> web.Response:
    """Lead away whoever comes back to this page; nothing is recorded."""
    return doors.lead_away(request)


async def _look(request: web.Request) -> dict[str, Any]:
    """Return the plain values of a guest's pages: nothing of the case but its reference, to be helped by."""
    here, force = request[guest_access.GUEST], request.app[app_keys.FORCE]
    appointment = here.appointment
    async with request.app[app_keys.DATABASE].read() as db:
        officer = await views.read_officer(db, appointment.officer_id)
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    return {
        "interprets": here.guest.role is GuestRole.INTERPRETER,
        "guest": {"name": here.guest.name, "role": i18n.gettext(roles.WORDS[Role(here.guest.role.value)])},
        "officer": officer,
        "reference": reference,
        "starts_at": appointment.starts_at,
        "opens_at": room_opens_at(appointment, force),
        "closes_at": room_closes_at(appointment, force),
        "early": request.app[app_keys.CLOCK]() < room_opens_at(appointment, force),
        "phone": force.phone,
    }
