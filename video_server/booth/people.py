"""What an officer does about the others in a call: invite, pass the link on, take out, ask about microphones, pause."""

from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AfterValidator, Field

from video_server.accounts import access as staff_access
from video_server.appointments import guests as invitations
from video_server.appointments import qr
from video_server.appointments import service as appointments
from video_server.appointments.model import Guest, GuestRole
from video_server.booth import access
from video_server.booth.views import booth_staff
from video_server.calls import asking, guests, pauses, roles
from video_server.calls import service as calls
from video_server.calls.model import Role
from video_server.calls.relays import RELAYS
from video_server.core.database import Connection
from video_server.incidents import mobile
from video_server.web import app_keys, i18n
from video_server.web.bodies import Body, Empty, read_body

routes = web.RouteTableDef()

HERE = "/booth/appointments/{appointment}"
ONE = HERE + "/guests/{guest:[0-9a-f]{32}}"


GuestCode = Literal["guardian", "appropriate_adult", "interpreter", "intermediary", "supporter"]


class Invite(Body):
    role: GuestCode
    name: Annotated[str, Field(max_length=200), AfterValidator(invitations.one_line)]
    language: Literal["en", "cy"]
    signs: bool
    mobile: str = Field(max_length=40)
    form_id: str = Field(pattern=r"^[0-9a-f]{32}$")


class Needs(Body):
    needs: list[GuestCode] = Field(max_length=5)


class Wish(Body):
    wish: Literal["mute", "unmute"]


class Hold(Body):
    held: bool


@routes.post(HERE + "/guests", name="booth.invite")
@booth_staff
async def invite(request: web.Request) -> web.Response:
    """Invite a guest; returns the link and its QR to pass on, and whether a text is on its way."""
    body = await read_body(request, Invite)
    app = request.app
    number = mobile.parse_mobile(body.mobile, allow_drama=app[app_keys.DEMO]) if body.mobile.strip() else None
    async with app[app_keys.DATABASE].begin() as db:
        guest = await invitations.invite(
            db,
            await access.access_requested(db, request),
            role=GuestRole(body.role),
            name=body.name,
            language=body.language,
            signs=body.signs and body.role == "interpreter",
            mobile=number,
            by=request[staff_access.STAFF].id,
            now=app[app_keys.CLOCK](),
            force=app[app_keys.FORCE],
            key_ring=app[app_keys.KEYS],
            form_id=body.form_id,
        )
        texted = await invitations.is_texted(db, guest)
    return web.json_response({"guest": guest.id, "texted": texted, **_link(request, guest)})


@routes.get(ONE + "/link", name="booth.guest_link")
@booth_staff
async def show_link(request: web.Request) -> web.Response:
    """Return a guest's link and its QR again, on the record: whoever has it may come in that guest's place."""
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        guest = await invitations.get_guest(db, appointment.id, request.match_info["guest"])
        await invitations.record_shown(db, guest, **_by(request))
    return web.json_response(_link(request, guest))


@routes.post(ONE + "/remove", name="booth.guest_remove")
@booth_staff
async def remove(request: web.Request) -> web.Response:
    """Take a guest out at once, wherever they are, and their invitation back."""
    await read_body(request, Empty)
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        out = await guests.remove(db, appointment.id, request.match_info["guest"], **_by(request))
    for participant_id in out:  # their seat does so too; here also when its process hangs or their line is lost
        await request.app[RELAYS].put_out(appointment.id, participant_id)
    return web.json_response({})


@routes.post(HERE + "/people/{participant:[0-9a-f]{32}}/ask", name="booth.ask_microphone")
@booth_staff
async def ask_microphone(request: web.Request) -> web.Response:
    """Ask somebody in the call to mute or to unmute; their own press does it."""
    body = await read_body(request, Wish)
    name = request[staff_access.STAFF].name
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        participant = request.match_info["participant"]
        await asking.ask(db, appointment.id, participant, what=body.wish, name=name, **_by(request))
    return web.json_response({})


@routes.post(HERE + "/hold", name="booth.hold")
@booth_staff
async def hold(request: web.Request) -> web.Response:
    """Pause the call, or go on; going on also declines a pause that was only asked for."""
    body = await read_body(request, Hold)
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        await (pauses.begin if body.held else pauses.end)(db, appointment.id, **_by(request))
    return web.json_response({"held": body.held})


@routes.post(HERE + "/needs", name="booth.needs")
@booth_staff
async def set_needs(request: web.Request) -> web.Response:
    """Say who must be in the call before the person reads or signs a statement, on the record."""
    body = await read_body(request, Needs)
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        await appointments.set_needs(db, appointment.id, [GuestRole(code) for code in body.needs], **_by(request))
    return web.json_response({})


async def draw_needs(db: Connection, appointment_id: str, *, now: datetime) -> list[dict[str, Any]]:
    """Return who must be present for a statement, and whether they are, for the booth's snapshot."""
    needs = (await appointments.get(db, appointment_id)).needs
    people = await calls.list_participants(db, [appointment_id])
    missing = roles.list_missing(people, needs, now=now)
    return [
        {
            "role": role.value,
            "role_words": i18n.gettext(roles.WORDS[Role(role.value)]),
            "missing": Role(role.value) in missing,
        }
        for role in needs
    ]


async def draw_guests(db: Connection, appointment_id: str) -> list[dict[str, Any]]:
    """Return the invitations that stand, for the booth's snapshot."""
    return [
        {
            "id": guest.id,
            "role": guest.role.value,
            "role_words": i18n.gettext(roles.WORDS[Role(guest.role.value)]),
            "name": guest.name,
            "signs": guest.signs,
        }
        for guest in await invitations.list_for(db, appointment_id)
    ]


def _link(request: web.Request, guest: Guest) -> dict[str, str]:
    app = request.app
    link = invitations.guest_url(guest, key_ring=app[app_keys.KEYS], public_url=app[app_keys.PUBLIC_URL])
    return {"link": link, "qr": qr.draw(link)}


def _by(request: web.Request) -> dict[str, Any]:
    return {"by": request[staff_access.STAFF].id, "now": request.app[app_keys.CLOCK]()}
