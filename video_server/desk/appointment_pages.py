"""Book, read out, move and cancel an appointment."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from video_server.accounts import access
from video_server.accounts import service as accounts
from video_server.appointments import guests as invitations
from video_server.appointments import service as appointments
from video_server.appointments.local_time import NotATime
from video_server.appointments.model import (
    CANCEL_REASONS,
    MOVE_REASONS,
    Appointment,
    GuestRole,
    Slot,
    State,
    room_opens_at,
)
from video_server.appointments.service import AlreadyBooked, SlotNotOffered, SlotTaken, VideoNotOffered
from video_server.audit import service as audit
from video_server.calls import roles
from video_server.calls import service as calls
from video_server.calls.model import Role
from video_server.calls.relays import RELAYS
from video_server.core import keys
from video_server.core.database import Connection
from video_server.desk import forms as desk_forms
from video_server.desk import lines
from video_server.desk.home import MAY_DESK
from video_server.incidents import eligibility, mobile
from video_server.incidents import service as incidents
from video_server.web import app_keys, forms, pages
from video_server.web.i18n import gettext

routes = web.RouteTableDef()

SLOTS_READ = 400  # enough for the days offered, whatever the hours


@routes.get("/desk/incidents/{id:[0-9a-f]{32}}/book", name="desk.book")
@access.staff(*MAY_DESK)
async def show_times(request: web.Request) -> web.Response:
    """Show the next free times; an incident that cannot be offered video, or has a booking, leads back to its page."""
    incident_id, now = request.match_info["id"], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].read() as db:
        refused = eligibility.offer_problems(await incidents.get_assessment(db, incident_id))
        if refused or await appointments.find_ahead(db, incident_id, now=now) is not None:
            raise pages.see_other(request, "desk.incident", id=incident_id)
    return await _times(request, incident_id, values={"form_id": keys.new_id()})


@routes.post("/desk/incidents/{id:[0-9a-f]{32}}/book")
@access.staff(*MAY_DESK)
async def book(request: web.Request) -> web.Response:
    """Book the chosen time; 303 to the appointment, or 409 with the times that remain."""
    incident_id, force = request.match_info["id"], request.app[app_keys.FORCE]
    values = await forms.read_values(request)
    try:
        form = await forms.read_form(request, desk_forms.BookForm, desk_forms.BOOK_WORDS)
        starts_at = form.starts_at(force.timezone)
        async with request.app[app_keys.DATABASE].begin() as db:
            incident = await incidents.get_incident(db, incident_id)
            appointment = await appointments.book(
                db,
                incident=incident,
                person_id=incident.victim_id,
                starts_at=starts_at,
                officer_id=None,
                by=request[access.STAFF].id,
                now=request.app[app_keys.CLOCK](),
                force=force,
                key_ring=request.app[app_keys.KEYS],
                form_id=form.form_id,
                needs=form.needs(),
            )
    except VideoNotOffered:
        raise pages.see_other(request, "desk.incident", id=incident_id) from None
    except (forms.FormInvalid, NotATime, SlotNotOffered, SlotTaken, AlreadyBooked) as refusal:
        return await _times(request, incident_id, values=values, **_explain(refusal, values))
    raise pages.see_other(request, "desk.appointment", id=appointment.id)


def _explain(refusal: Exception, values: Mapping[str, str]) -> dict[str, Any]:
    """Return problems, status and the nearest times for a booking that was refused."""
    field = "day" if values.get("slot", "other") == "other" else "slot"
    if isinstance(refusal, forms.FormInvalid):
        return {"problems": refusal.problems, "status": refusal.status}
    assert isinstance(refusal, NotATime | SlotNotOffered | SlotTaken | AlreadyBooked)
    nearest = refusal.others if isinstance(refusal, SlotTaken) else ()
    return {"problems": {field: pages.say(refusal)}, "status": refusal.status, "nearest": nearest}


async def _times(
    request: web.Request,
    incident_id: str,
    *,
    values: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
    nearest: Sequence[Slot] = (),
    moving: str | None = None,
    status: int = 200,
) -> web.Response:
    now, force = request.app[app_keys.CLOCK](), request.app[app_keys.FORCE]
    async with request.app[app_keys.DATABASE].read() as db:
        incident = await incidents.get_incident(db, incident_id)
        victim = await incidents.get_person(db, incident.victim_id)
        free = await appointments.free_slots(db, now=now, force=force, limit=SLOTS_READ, moving=moving)
        appointment = await appointments.get(db, moving) if moving else None
    return pages.render(
        request,
        "desk/times.html",
        incident=incident,
        victim=victim,
        appointment=appointment,
        days=lines.choose_times(
            (s for s in free if appointment is None or s.starts_at != appointment.starts_at), force
        ),
        nearest=[slot.starts_at for slot in nearest],
        reasons=MOVE_REASONS,
        guest_roles=_guest_roles(),
        minutes=int(force.appointment_length.total_seconds() // 60),
        values=values,
        problems=problems or {},
        status=status,
    )


@routes.get("/desk/appointments/{id:[0-9a-f]{32}}", name="desk.appointment")
@access.staff(*MAY_DESK)
async def show(request: web.Request) -> web.Response:
    """Show an appointment with what to read out and what became of its texts. Looking is logged."""
    return await render(request)


async def render(
    request: web.Request,
    *,
    problems: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    status: int = 200,
) -> web.Response:
    """Render an appointment's page, with what was wrong in the form for a guest."""
    now, force = request.app[app_keys.CLOCK](), request.app[app_keys.FORCE]
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await appointments.get(db, request.match_info["id"])
        incident = await incidents.get_incident(db, appointment.incident_id)
        victim = await incidents.get_person(db, appointment.person_id)
        officer = await accounts.find_staff(db, appointment.officer_id)
        sent = await lines.texts_of(db, appointment)
        link = None if victim.may_be_texted else await _write_link(request, db, appointment.id)
        invited = await _list_guests(request, db, appointment)
        await audit.record(
            db,
            actor=f"staff:{request[access.STAFF].id}",
            action="appointments.viewed",
            subject=f"appointment:{appointment.id}",
            now=now,
        )
    return pages.render(
        request,
        "desk/appointment.html",
        appointment=appointment,
        incident=incident,
        victim=victim,
        mobile=mobile.say_mobile(victim.mobile),
        officer=officer,
        state=lines.STATES[appointment.state],
        outcome=lines.outcome_words(appointment),
        texts=sent,
        link=link,
        room_opens_at=room_opens_at(appointment, force),
        may_change=appointment.state is State.BOOKED,
        guests=invited,
        guest_roles=_guest_roles(),
        needs=[gettext(roles.WORDS[Role(role.value)]) for role in appointment.needs],
        values=values or {"form_id": keys.new_id(), "language": victim.language},
        problems=problems or {},
        status=status,
        is_fresh=appointment.state is State.BOOKED and appointment.ends_at > now,
    )


def _guest_roles() -> list[dict[str, str]]:
    return [{"value": role.value, "text": gettext(roles.WORDS[Role(role.value)])} for role in GuestRole]


async def _list_guests(request: web.Request, db: Connection, appointment: Appointment) -> list[dict[str, Any]]:
    """Return the invitations that stand, each with its link to pass on."""
    app = request.app
    return [
        {
            "id": guest.id,
            "name": guest.name,
            "role": gettext(roles.WORDS[Role(guest.role.value)]),
            "texted": await invitations.is_texted(db, guest),
            "link": invitations.guest_url(guest, key_ring=app[app_keys.KEYS], public_url=app[app_keys.PUBLIC_URL]),
        }
        for guest in await invitations.list_for(db, appointment.id)
    ]


async def _write_link(request: web.Request, db: Connection, appointment_id: str) -> str | None:
    """Return the address of the link, for somebody who must not be texted and gets it in another way."""
    link_id = await appointments.find_link_of(db, appointment_id)
    if link_id is None:
        return None
    app = request.app
    return await appointments.link_url(db, link_id, key_ring=app[app_keys.KEYS], public_url=app[app_keys.PUBLIC_URL])


@routes.get("/desk/appointments/{id:[0-9a-f]{32}}/move", name="desk.move")
@access.staff(*MAY_DESK)
async def show_move(request: web.Request) -> web.Response:
    """Show the free times to move to."""
    appointment_id = request.match_info["id"]
    incident_id = await _incident_of(request, appointment_id)
    return await _times(request, incident_id, values={"form_id": keys.new_id()}, moving=appointment_id)


@routes.post("/desk/appointments/{id:[0-9a-f]{32}}/move")
@access.staff(*MAY_DESK)
async def move(request: web.Request) -> web.Response:
    """Move to the chosen time; 303 to the appointment, or 409 with the times that remain."""
    appointment_id, force = request.match_info["id"], request.app[app_keys.FORCE]
    values = await forms.read_values(request)
    try:
        form = await forms.read_form(request, desk_forms.MoveForm, desk_forms.BOOK_WORDS)
        starts_at = form.starts_at(force.timezone)
        async with request.app[app_keys.DATABASE].begin() as db:
            await appointments.move(
                db,
                appointment_id,
                starts_at=starts_at,
                officer_id=None,
                reason=form.reason,
                by=request[access.STAFF].id,
                now=request.app[app_keys.CLOCK](),
                force=force,
            )
    except (forms.FormInvalid, NotATime, SlotNotOffered, SlotTaken) as refusal:
        incident_id = await _incident_of(request, appointment_id)
        return await _times(request, incident_id, values=values, moving=appointment_id, **_explain(refusal, values))
    raise pages.see_other(request, "desk.appointment", id=appointment_id)


@routes.get("/desk/appointments/{id:[0-9a-f]{32}}/cancel", name="desk.cancel")
@access.staff(*MAY_DESK)
async def show_cancel(request: web.Request) -> web.Response:
    """Ask for the reason before anything is cancelled."""
    return await _cancel_page(request)


@routes.post("/desk/appointments/{id:[0-9a-f]{32}}/cancel")
@access.staff(*MAY_DESK)
async def cancel(request: web.Request) -> web.Response:
    """Cancel; 303 to the appointment. Cancelling twice leads to the same page."""
    appointment_id = request.match_info["id"]
    try:
        form = await forms.read_form(request, desk_forms.CancelForm, desk_forms.BOOK_WORDS)
        async with request.app[app_keys.DATABASE].begin() as db:
            await calls.cancel(
                db,
                appointment_id,
                by=request[access.STAFF].id,
                reason=form.reason,
                now=request.app[app_keys.CLOCK](),
            )
    except forms.FormInvalid as refusal:
        return await _cancel_page(request, problems=refusal.problems, status=refusal.status)
    except appointments.AlreadyCancelled:
        pass  # the form came twice
    await request.app[RELAYS].close_room(appointment_id)
    raise pages.see_other(request, "desk.appointment", id=appointment_id)


async def _cancel_page(
    request: web.Request, *, problems: Mapping[str, str] | None = None, status: int = 200
) -> web.Response:
    appointment_id = request.match_info["id"]
    await _incident_of(request, appointment_id)
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await appointments.get(db, appointment_id)
        victim = await incidents.get_person(db, appointment.person_id)
    return pages.render(
        request,
        "desk/cancel.html",
        appointment=appointment,
        victim=victim,
        reasons=CANCEL_REASONS,
        problems=problems or {},
        status=status,
    )


async def _incident_of(request: web.Request, appointment_id: str) -> str:
    """Return the incident of an appointment that may still be changed; 303 to the appointment when it may not."""
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await appointments.get(db, appointment_id)
    if appointment.state is not State.BOOKED:
        raise pages.see_other(request, "desk.appointment", id=appointment_id)
    return appointment.incident_id
