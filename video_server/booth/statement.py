"""What an officer does with statements on the call's page: JSON in and out; a copy as an attachment."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from video_server.accounts import access as staff_access
from video_server.booth import access
from video_server.booth.views import booth_staff
from video_server.core.database import Connection
from video_server.statements import bodies, certifying, drawing, exhibits, model, service, shown, signing
from video_server.statements.back_page import BackPage
from video_server.statements.model import Statement
from video_server.statements.printing import PRINTER, CannotPrint
from video_server.web import app_keys, pages

routes = web.RouteTableDef()

HERE = "/booth/appointments/{appointment}/statements"
ONE = HERE + "/{statement}"


@routes.get(HERE, name="booth.statements")
@booth_staff
async def show(request: web.Request) -> web.Response:
    """Return the newest statement of the appointment, or null when none was begun."""
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await access.access_requested(db, request)
        listed = await shown.list_for(db, appointment.id)
        return web.json_response(await _draw(db, request, listed[-1]) if listed else None)


@routes.post(HERE, name="booth.statement_begin")
@booth_staff
async def begin(request: web.Request) -> web.Response:
    """Begin a statement, or a further one."""
    await bodies.read_body(request, bodies.Empty)
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        statement = await service.begin(db, appointment, **_by(request))
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/text", name="booth.statement_text")
@booth_staff
async def save_text(request: web.Request) -> web.Response:
    """Save the text as typed; 409 with what stands there when another window saved in between."""
    return await _save(request, "text")


async def _save(request: web.Request, which: str) -> web.Response:
    body = await bodies.read_body(request, bodies.Text)
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            statement = await service.save_text(
                db, *await _ids(db, request), text=body.text, text_version=body.version, which=which, **_by(request)
            )
    except service.DraftChanged as refusal:
        said = {"error": refusal.code, "message": pages.say(refusal)}
        return web.json_response(said | {"note": drawing.text_of(refusal.current, which)}, status=refusal.status)
    return web.json_response(drawing.text_of(statement, which))


@routes.post(ONE + "/original", name="booth.statement_original")
@booth_staff
async def save_original(request: web.Request) -> web.Response:
    """Save the text in the language of a witness who speaks through an interpreter, as typed; 409 as above."""
    return await _save(request, "original")


@routes.post(ONE + "/heading", name="booth.statement_heading")
@booth_staff
async def set_heading(request: web.Request) -> web.Response:
    """Set name, age under 18, who reads it aloud, who interprets from which language, language."""
    body = await bodies.read_body(request, bodies.HeadingBody)
    heading = model.make_heading(body.name, body.age, body.reader, body.interpreter, body.spoken)
    async with request.app[app_keys.DATABASE].begin() as db:
        statement = await service.set_heading(
            db, *await _ids(db, request), heading=heading, language=body.language, **_by(request)
        )
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/exhibits", name="booth.statement_exhibit")
@booth_staff
async def add_exhibit(request: web.Request) -> web.Response:
    """Add an exhibit by its mark, or describe it anew."""
    body = await bodies.read_body(request, bodies.ExhibitBody)
    exhibit = exhibits.make_exhibit(body.mark, body.description)
    async with request.app[app_keys.DATABASE].begin() as db:
        statement = await service.add_exhibit(db, *await _ids(db, request), exhibit, **_by(request))
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/exhibits/remove", name="booth.statement_exhibit_remove")
@booth_staff
async def remove_exhibit(request: web.Request) -> web.Response:
    """Remove an exhibit."""
    body = await bodies.read_body(request, bodies.Mark)
    async with request.app[app_keys.DATABASE].begin() as db:
        statement = await service.remove_exhibit(db, *await _ids(db, request), body.mark, **_by(request))
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/live", name="booth.statement_live")
@booth_staff
async def show_live(request: web.Request) -> web.Response:
    """Let the witness see the draft as it is written, or not."""
    body = await bodies.read_body(request, bodies.Live)
    async with request.app[app_keys.DATABASE].begin() as db:
        statement = await service.show_live(db, *await _ids(db, request), live=body.live, **_by(request))
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/offer", name="booth.statement_offer")
@booth_staff
async def offer(request: web.Request) -> web.Response:
    """Ask the witness to read and sign; 422 with the characters when it could not be printed."""
    await bodies.read_body(request, bodies.Empty)
    database, printer = request.app[app_keys.DATABASE], request.app[PRINTER]
    async with database.read() as db:
        ids = await _ids(db, request)
    try:
        statement = await service.offer(database, *ids, printer=printer, **_by(request))
    except CannotPrint as refusal:
        said = f"{pages.say(refusal)} ({refusal.characters})"
        return web.json_response({"error": refusal.code, "message": said}, status=refusal.status)
    async with database.read() as db:
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/reading", name="booth.statement_reading")
@booth_staff
async def certify_reading(request: web.Request) -> web.Response:
    """Sign, as the reader, that the text was read aloud to a witness who cannot read."""
    return await _sign(request, certifying.certify_reading)


@routes.post(ONE + "/interpretation", name="booth.statement_interpretation")
@booth_staff
async def declare_interpretation(request: web.Request) -> web.Response:
    """Sign, as the interpreter who is with the officer, for the text in both languages."""
    return await _sign(request, certifying.declare_interpretation)


async def _sign(request: web.Request, sign: Callable[..., Awaitable[shown.View]]) -> web.Response:
    body = await bodies.read_body(request, bodies.TypedBody)
    async with request.app[app_keys.DATABASE].begin() as db:
        ids, printer = await _ids(db, request), request.app[PRINTER]
        seen = await sign(db, *ids, typed=body.typed, shown_digest=body.digest, printer=printer, **_by(request))
        return web.json_response(await _draw(db, request, seen.statement))


@routes.post(ONE + "/take-back", name="booth.statement_take_back")
@booth_staff
async def take_back(request: web.Request) -> web.Response:
    """Take the statement back from the witness and go on writing."""
    await bodies.read_body(request, bodies.Empty)
    async with request.app[app_keys.DATABASE].begin() as db:
        statement = await service.take_back(db, *await _ids(db, request), **_by(request))
        return web.json_response(await _draw(db, request, statement))


@routes.post(ONE + "/back-page", name="booth.statement_back_page")
@booth_staff
async def save_back_page(request: web.Request) -> web.Response:
    """Keep contact, dates, consent, needs and the victim personal statement's answer, apart from the statement."""
    page = await bodies.read_body(request, BackPage)
    async with request.app[app_keys.DATABASE].begin() as db:
        await service.save_back_page(db, *await _ids(db, request), page, **_by(request))
    return web.json_response({"unanswered": list(page.unanswered)})


@routes.get(ONE + "/copy", name="booth.statement_copy")
@booth_staff
async def copy(request: web.Request) -> web.Response:
    """Hand out the sealed PDF."""
    async with request.app[app_keys.DATABASE].begin() as db:
        statement = await shown.get(db, *await _ids(db, request))
        name, content = await signing.get_copy(db, statement)
        actor = f"staff:{request[staff_access.STAFF].id}"
        await signing.record_copy(db, statement, actor=actor, now=request.app[app_keys.CLOCK]())
    return bodies.attach(name, content)


async def _ids(db: Connection, request: web.Request) -> tuple[str, str]:
    """Return the ids of an appointment this officer may open and of a statement; the service joins the two."""
    return (await access.access_requested(db, request)).id, request.match_info["statement"]


def _by(request: web.Request) -> dict[str, Any]:
    return {"by": request[staff_access.STAFF].id, "now": request.app[app_keys.CLOCK]()}


async def _draw(db: Connection, request: web.Request, statement: Statement) -> dict[str, Any]:
    seen = await shown.view(db, statement, printer=request.app[PRINTER])
    listed = await shown.list_for(db, statement.appointment_id)
    listens = await access.only_listens(db, request, statement.appointment_id)
    return drawing.for_officer(seen, listed, None if listens else await service.get_back_page(db, statement.id))
