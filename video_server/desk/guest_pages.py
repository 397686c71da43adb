"""Invite a guest to an appointment from the desk, and take an invitation back."""

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field

from video_server.accounts import access
from video_server.appointments import guests as invitations
from video_server.appointments import service as appointments
from video_server.appointments.model import GuestRole
from video_server.calls import guests
from video_server.calls.relays import RELAYS
from video_server.core.errors import N_
from video_server.desk import appointment_pages
from video_server.desk.home import MAY_DESK
from video_server.incidents import mobile
from video_server.web import app_keys, forms, i18n, pages

routes = web.RouteTableDef()


def _language(code: str) -> str:
    if code not in i18n.LANGUAGES:
        raise ValueError
    return code


class GuestForm(forms.Form):
    """`mobile` left empty: the link is passed on in another way."""

    form_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    role: GuestRole
    guest_name: Annotated[str, Field(max_length=200), AfterValidator(invitations.one_line)]
    guest_mobile: Annotated[str, Field(max_length=40)] = ""
    language: Annotated[str, AfterValidator(_language)]
    signs: str = ""


GUEST_WORDS = {
    "role": N_("Choose as what they join"),
    "guest_name": N_("Enter the name that all in the call are told, of at most 60 characters"),
    "guest_mobile": N_("Enter a UK mobile number: 11 digits, starting with 07"),
    "language": N_("Choose a language"),
    "form_id": N_("This page was too old. Check the answers and send it again"),
}


@routes.post("/desk/appointments/{id:[0-9a-f]{32}}/guests", name="desk.invite")
@access.staff(*MAY_DESK)
async def invite(request: web.Request) -> web.Response:
    """Invite a guest; 303 to the appointment, where the link stands."""
    app, values = request.app, await forms.read_values(request)
    try:
        form = await forms.read_form(request, GuestForm, GUEST_WORDS)
        number = mobile.parse_mobile(form.guest_mobile, allow_drama=app[app_keys.DEMO]) if form.guest_mobile else None
        async with app[app_keys.DATABASE].begin() as db:
            appointment = await appointments.get(db, request.match_info["id"])
            await invitations.invite(
                db,
                appointment,
                role=form.role,
                name=form.guest_name,
                language=form.language,
                signs=bool(form.signs) and form.role is GuestRole.INTERPRETER,
                mobile=number,
                by=request[access.STAFF].id,
                now=app[app_keys.CLOCK](),
                force=app[app_keys.FORCE],
                key_ring=app[app_keys.KEYS],
                form_id=form.form_id,
            )
    except forms.FormInvalid as refusal:
        return await appointment_pages.render(request, problems=refusal.problems, values=values, status=refusal.status)
    except (mobile.MobileNotUsable, invitations.TooManyGuests) as refusal:
        problems = {"guest_mobile" if isinstance(refusal, mobile.MobileNotUsable) else "guest_name": pages.say(refusal)}
        return await appointment_pages.render(request, problems=problems, values=values, status=refusal.status)
    except appointments.AlreadyEnded:
        pass  # the appointment's page says so
    raise pages.see_other(request, "desk.appointment", id=request.match_info["id"])


@routes.post("/desk/appointments/{id:[0-9a-f]{32}}/guests/{guest:[0-9a-f]{32}}/revoke", name="desk.guest_revoke")
@access.staff(*MAY_DESK)
async def revoke(request: web.Request) -> web.Response:
    """Take an invitation back; 303 to the appointment. Who is in the call by it is out at once."""
    appointment_id = request.match_info["id"]
    async with request.app[app_keys.DATABASE].begin() as db:
        by, now = request[access.STAFF].id, request.app[app_keys.CLOCK]()
        out = await guests.remove(db, appointment_id, request.match_info["guest"], by=by, now=now)
    for participant_id in out:
        await request.app[RELAYS].put_out(appointment_id, participant_id)
    raise pages.see_other(request, "desk.appointment", id=appointment_id)
