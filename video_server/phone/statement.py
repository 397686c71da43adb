"""The witness's side of a statement: read, confirm, sign, fetch a copy. JSON in and out, inside the call's page."""

from typing import Any

from aiohttp import web

from video_server.core.database import Connection
from video_server.core.errors import NotFound, Refusal
from video_server.phone import access
from video_server.statements import bodies, drawing, shown, signing
from video_server.statements.model import Answer, State, Statement, TextChanged
from video_server.statements.printing import PRINTER
from video_server.statements.rules import NotConfirmed, NotInterpreted, NotReadAloud
from video_server.statements.signature import read_signature
from video_server.web import app_keys, pages

routes = web.RouteTableDef()


@routes.get("/phone/statement", name="phone.statement")
@access.victim
async def show(request: web.Request) -> web.Response:
    """Return what the witness reads now, or null while there is nothing to show."""
    async with request.app[app_keys.DATABASE].read() as db:
        witness = await _witness(db, request, for_copy=True)
        statement = await shown.find_shown(db, witness.appointment_id)
        return web.json_response(await _draw(db, request, statement) if statement else None)


@routes.post("/phone/statement/answer", name="phone.statement_answer")
@access.victim
async def answer(request: web.Request) -> web.Response:
    """Note that a paragraph is right or wrong; 409 with what stands there when it has changed."""
    body = await bodies.read_body(request, bodies.AnswerBody)
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            witness = await _witness(db, request)
            seen = await signing.answer(
                db,
                witness,
                body.statement,
                paragraph=body.paragraph,
                said=Answer(body.answer),
                printer=request.app[PRINTER],
                now=request.app[app_keys.CLOCK](),
            )
            return web.json_response(await _draw(db, request, seen.statement))
    except TextChanged as refusal:
        return await _show_anew(request, refusal)


@routes.post("/phone/statement/sign", name="phone.statement_sign")
@access.victim
async def sign(request: web.Request) -> web.Response:
    """Sign what was shown; 409 with what stands there when it is not that any more."""
    body = await bodies.read_body(request, bodies.SignBody)
    signature = read_signature(body.signature)
    database = request.app[app_keys.DATABASE]
    async with database.read() as db:
        witness = await _witness(db, request)
    try:
        statement = await signing.sign(
            database,
            witness,
            body.statement,
            shown_digest=body.digest,
            declared=body.declared,
            signature=signature,
            printer=request.app[PRINTER],
            force=request.app[app_keys.FORCE],
            now=request.app[app_keys.CLOCK](),
        )
    except (TextChanged, NotConfirmed, NotReadAloud, NotInterpreted) as refusal:
        return await _show_anew(request, refusal)
    async with database.read() as db:
        return web.json_response(await _draw(db, request, statement))


@routes.get(r"/phone/statement/{number:[0-9]{1,4}}/copy", name="phone.statement_copy")
@access.victim
async def copy(request: web.Request) -> web.Response:
    """Hand the sealed PDF to the session that was in the call, until the page closes a day after it."""
    async with request.app[app_keys.DATABASE].begin() as db:
        witness = await _witness(db, request, for_copy=True)
        number = int(request.match_info["number"])
        listed = await shown.list_for(db, witness.appointment_id)
        statement = next((one for one in listed if one.number == number and one.state is not State.DRAFT), None)
        if statement is None:
            raise NotFound
        name, content = await signing.get_copy(db, statement)
        actor = f"phone-session:{witness.session_id}"
        await signing.record_copy(db, statement, actor=actor, now=request.app[app_keys.CLOCK]())
    return bodies.attach(name, content)


async def _witness(db: Connection, request: web.Request, *, for_copy: bool = False) -> Any:
    victim = request[access.VICTIM]
    return await signing.access_witness(db, victim.appointment.id, victim.session_id, for_copy=for_copy)


async def _draw(db: Connection, request: web.Request, statement: Statement) -> dict[str, Any]:
    seen = await shown.view(db, statement, printer=request.app[PRINTER], session_id=request[access.VICTIM].session_id)
    return drawing.for_person(seen, await shown.list_for(db, statement.appointment_id))


async def _show_anew(request: web.Request, refusal: Refusal) -> web.Response:
    async with request.app[app_keys.DATABASE].read() as db:
        statement = await shown.find_shown(db, request[access.VICTIM].appointment.id)
        drawn = await _draw(db, request, statement) if statement else None
    said = {"error": refusal.code, "message": pages.say(refusal), "statement": drawn}
    return web.json_response(said, status=refusal.status)
