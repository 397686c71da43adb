"""Whether texting somebody is safe: lift a hold, write down new wishes."""

from collections.abc import Mapping

from aiohttp import web

from video_server.accounts import access
from video_server.desk import forms as desk_forms
from video_server.desk.home import MAY_DESK
from video_server.incidents import service as incidents
from video_server.incidents.model import HOLD_REASONS, RELEASE_REASONS, SafeContact
from video_server.web import app_keys, forms, pages

routes = web.RouteTableDef()


@routes.get("/desk/incidents/{id:[0-9a-f]{32}}/contact", name="desk.contact")
@access.staff(*MAY_DESK)
async def show(request: web.Request) -> web.Response:
    """Show whether contact is held, and the person's wishes as they are."""
    return await _page(request)


@routes.post("/desk/incidents/{id:[0-9a-f]{32}}/contact")
@access.staff(*MAY_DESK)
async def change(request: web.Request) -> web.Response:
    """Write down new wishes about texts; 303 to the incident."""
    try:
        form = await desk_forms.read_contact(request)
    except forms.FormInvalid as refusal:
        return await _page(request, refusal)
    async with request.app[app_keys.DATABASE].begin() as db:
        incident = await incidents.get_incident(db, request.match_info["id"])
        await incidents.change_safe_contact(
            db,
            incident.victim_id,
            safe_contact=form.safe_contact,
            by=request[access.STAFF].id,
            now=request.app[app_keys.CLOCK](),
        )
    raise pages.see_other(request, "desk.incident", id=incident.id)


@routes.post("/desk/incidents/{id:[0-9a-f]{32}}/contact/release", name="desk.release_contact")
@access.staff(*MAY_DESK)
async def release(request: web.Request) -> web.Response:
    """Say that texting is safe again, with the reason; 303 to the incident."""
    try:
        form = await forms.read_form(request, desk_forms.ReleaseForm, desk_forms.BOOK_WORDS)
    except forms.FormInvalid as refusal:
        return await _page(request, refusal)
    async with request.app[app_keys.DATABASE].begin() as db:
        incident = await incidents.get_incident(db, request.match_info["id"])
        await incidents.release_contact(
            db,
            incident.victim_id,
            by=request[access.STAFF].id,
            reason=form.reason,
            now=request.app[app_keys.CLOCK](),
            held_at=form.held_at,
        )
    raise pages.see_other(request, "desk.incident", id=incident.id)


async def _page(request: web.Request, refusal: forms.FormInvalid | None = None) -> web.Response:
    async with request.app[app_keys.DATABASE].read() as db:
        incident = await incidents.get_incident(db, request.match_info["id"])
        victim = await incidents.get_person(db, incident.victim_id)
    return pages.render(
        request,
        "desk/contact.html",
        incident=incident,
        victim=victim,
        held_why=HOLD_REASONS.get(victim.held_why or "", ""),
        reasons=RELEASE_REASONS,
        values=_values_of(victim.safe_contact) | (refusal.values if refusal else {}),
        problems=refusal.problems if refusal else {},
        status=refusal.status if refusal else 200,
    )


def _values_of(wishes: SafeContact) -> dict[str, str]:
    """Return the wishes as the form shows them."""
    hours: Mapping[str, str] = {
        name: hour.isoformat("minutes")
        for name, hour in (("not_before", wishes.not_before), ("not_after", wishes.not_after))
        if hour is not None
    }
    return {"may_text": "yes" if wishes.may_text else "no", "wording": wishes.wording.value, **hours}
