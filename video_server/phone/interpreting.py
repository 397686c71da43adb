"""What an interpreter does with a statement from their own page in the call: read both texts, write one, sign for both.

Nothing is shown unless the officer says that the statement is taken through an interpreter, and nothing but that one
statement, until the witness has signed it. JSON in and out, inside the guest's call page.
"""

from typing import Any

from aiohttp import web

from video_server.calls.model import Participant
from video_server.core.database import Connection
from video_server.phone import guest_access
from video_server.statements import bodies, certifying, drawing, service, shown
from video_server.statements.model import Statement
from video_server.statements.printing import PRINTER
from video_server.web import app_keys, pages

routes = web.RouteTableDef()

ONE = "/guest/statement/{statement:[0-9a-f]{32}}"


@routes.get("/guest/statement", name="guest.statement")
@guest_access.guest
async def show(request: web.Request) -> web.Response:
    """Return the statement that is taken through an interpreter, or null while there is none."""
    async with request.app[app_keys.DATABASE].read() as db:
        interpreter = await _interpreter(db, request)
        statement = await shown.find_interpreted(db, interpreter.appointment_id)
        return web.json_response(await _draw(db, request, statement) if statement else None)


@routes.post(ONE + "/original", name="guest.statement_original")
@guest_access.guest
async def save_original(request: web.Request) -> web.Response:
    """Save the text in the witness's language as typed; 409 with what stands there when it was saved elsewhere."""
    body = await bodies.read_body(request, bodies.Text)
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            interpreter = await _interpreter(db, request)
            await shown.get_interpreted(db, interpreter.appointment_id, request.match_info["statement"])
            statement = await service.save_text(
                db,
                interpreter.appointment_id,
                request.match_info["statement"],
                text=body.text,
                text_version=body.version,
                which="original",
                by=interpreter.id,
                actor=f"guest-session:{interpreter.session_id}",
                now=request.app[app_keys.CLOCK](),
            )
    except service.DraftChanged as refusal:
        said = {"error": refusal.code, "message": pages.say(refusal)}
        return web.json_response(said | {"note": drawing.text_of(refusal.current, "original")}, status=refusal.status)
    return web.json_response(drawing.text_of(statement, "original"))


@routes.post(ONE + "/interpretation", name="guest.statement_interpretation")
@guest_access.guest
async def declare_interpretation(request: web.Request) -> web.Response:
    """Sign, as the interpreter, for the text in both languages as it was shown here."""
    body = await bodies.read_body(request, bodies.TypedBody)
    async with request.app[app_keys.DATABASE].begin() as db:
        interpreter = await _interpreter(db, request)
        seen = await certifying.declare_interpretation(
            db,
            interpreter.appointment_id,
            request.match_info["statement"],
            typed=body.typed,
            shown_digest=body.digest,
            printer=request.app[PRINTER],
            by=interpreter,
            now=request.app[app_keys.CLOCK](),
        )
        return web.json_response(await _draw(db, request, seen.statement))


async def _interpreter(db: Connection, request: web.Request) -> Participant:
    here = request[guest_access.GUEST]
    return await certifying.access_interpreter(db, here.appointment.id, here.session_id)


async def _draw(db: Connection, request: web.Request, statement: Statement) -> dict[str, Any]:
    return drawing.for_interpreter(await shown.view(db, statement, printer=request.app[PRINTER]))
