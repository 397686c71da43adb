"""What an officer does on the call's page: JSON in and out; `end`, `takeover` and `dismiss` are plain forms as well."""

from typing import Any

from aiohttp import web
from pydantic import Field

from video_server.accounts import access as staff_access
from video_server.appointments import service as appointments
from video_server.appointments.model import OUTCOMES
from video_server.booth import access, views
from video_server.booth.views import booth_staff
from video_server.calls import alerts, notes
from video_server.calls import service as calls
from video_server.calls.model import Note
from video_server.calls.relays import RELAYS
from video_server.core.errors import N_, NotFound, Refusal
from video_server.web import app_keys, forms, pages
from video_server.web.bodies import Body, NotUnderstood, read_body

routes = web.RouteTableDef()


class ChooseOutcome(Refusal):
    code = "choose_outcome"
    status = 422
    public = N_("Choose what came of this appointment.")


class NoteTooLong(Refusal):
    code = "note_too_long"
    status = 422
    public = N_("The notes are too long to be saved. Shorten them to 20,000 characters.")


class Admit(Body):
    participant: str = Field(min_length=1, max_length=32, pattern=r"^[!-~]+$")


class NoteBody(Body):
    text: str
    version: int = Field(ge=0, le=1_000_000_000)


class End(Body):
    outcome: Any = None


@routes.post("/booth/appointments/{appointment}/admit", name="booth.admit")
@booth_staff
async def admit(request: web.Request) -> web.Response:
    """Let one waiting session in; the others of the link end."""
    body = await read_body(request, Admit)
    now = request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        person = await calls.admit(db, appointment, body.participant, by=request[staff_access.STAFF].id, now=now)
    return web.json_response({"admitted": person.id})


@routes.post("/booth/appointments/{appointment}/note", name="booth.note")
@booth_staff
async def save_note(request: web.Request) -> web.Response:
    """Save the notes as typed; 409 with what stands there when another window saved in between."""
    body = await read_body(request, NoteBody)
    if len(body.text) > notes.NOTE_CHARACTERS:
        raise NoteTooLong
    if not forms.is_text(body.text):
        raise NotUnderstood
    now = request.app[app_keys.CLOCK]()
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            appointment = await access.access_requested(db, request)
            note = await notes.save_note(
                db, appointment.id, text=body.text, version=body.version, by=request[staff_access.STAFF].id, now=now
            )
    except notes.NoteChanged as refusal:
        said = {"error": refusal.code, "message": pages.say(refusal), "note": _note_json(refusal.current)}
        return web.json_response(said, status=refusal.status)
    return web.json_response(_note_json(note))


@routes.post("/booth/appointments/{appointment}/end", name="booth.end")
@booth_staff
async def end(request: web.Request) -> web.Response:
    """End the call with an outcome. The second time is told plainly and changes nothing."""
    outcome = await _read_outcome(request)
    if not isinstance(outcome, str) or outcome not in {code for code, _ in OUTCOMES}:
        if pages.wants_json(request):
            await _check_access(request)
            raise ChooseOutcome
        return await views.render_call(request, problem=pages.say(ChooseOutcome()), status=ChooseOutcome.status)
    now = request.app[app_keys.CLOCK]()
    appointment_id = request.match_info["appointment"]
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            await access.access_requested(db, request)
            await calls.end_call(db, appointment_id, outcome=outcome, by=request[staff_access.STAFF].id, now=now)
    except appointments.AlreadyEnded as refusal:
        if pages.wants_json(request):
            raise
        return await views.render_summary(request, problem=pages.say(refusal), status=refusal.status)
    await request.app[RELAYS].close_room(appointment_id)
    return _answer(request, "booth.summary", appointment=appointment_id)


@routes.post("/booth/appointments/{appointment}/alerts/{alert}/dismiss", name="booth.dismiss_alert")
@booth_staff
async def dismiss_alert(request: web.Request) -> web.Response:
    """Note who has seen an alert, and when."""
    now = request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_appointment(
            db, request[staff_access.STAFF], request.match_info["appointment"]
        )  # whoever only listens may say so too
        alert_id = request.match_info["alert"]
        if alert_id not in {alert.id for alert in (await calls.view(db, appointment.id)).alerts}:
            raise NotFound
        await alerts.dismiss(db, alert_id, by=request[staff_access.STAFF].id, now=now)
    return _answer(request, "booth.diary")


@routes.post("/booth/appointments/{appointment}/takeover", name="booth.takeover")
@booth_staff
async def take_over(request: web.Request) -> web.Response:
    """Take a colleague's place, on the record; 303 to the call."""
    now = request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.take_over(
            db, request[staff_access.STAFF], request.match_info["appointment"], now=now
        )
    return _answer(request, "booth.call", appointment=appointment.id)


async def _check_access(request: web.Request) -> None:
    async with request.app[app_keys.DATABASE].read() as db:
        await access.access_requested(db, request)


async def _read_outcome(request: web.Request) -> object:
    """Read what was chosen, posted by a form or as JSON."""
    if request.content_type != "application/json":
        return (await forms.read_values(request)).get("outcome")
    return (await read_body(request, End)).outcome


def _answer(request: web.Request, route: str, **parts: str) -> web.Response:
    """Tell a script where to go on, a form by 303."""
    there = pages.see_other(request, route, **parts)
    if pages.wants_json(request):
        return web.json_response({"next": str(there.location)})
    raise there


def _note_json(note: Note) -> dict[str, Any]:
    return {
        "text": note.text,
        "version": note.version,
        "saved_at": note.saved_at.isoformat() if note.saved_at else None,
    }
