"""Trails and packages by API."""

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.court.printing import print_trails
from evidence_store.court.schemas import TrailAnswer
from evidence_store.court.trail import Trail, read_trail
from evidence_store.custody.views import answer
from evidence_store.model import Action
from evidence_store.tokens import Scope
from evidence_store.views_api import CONTENT_HEADERS, disposition

routes = web.RouteTableDef()


@routes.get("/evidence/v1/objects/{id}/trail", name="objects.trail", allow_head=False)
@access.token(Scope.TRAIL)
async def show_trail(request: web.Request) -> web.Response:
    """Return the audit trail of one object: JSON, or a PDF for whom only that will do."""
    wanted = request.headers.get("Accept", "")
    if "application/pdf" in wanted and "application/json" not in wanted:
        response = await print_trail(request)
    else:
        trail = await _read_recorded(request)
        response = answer(TrailAnswer.of(trail, request.app[app_keys.STORE].keys.ledger.public))
    response.headers["Vary"] = "Accept"
    return response


@routes.get("/evidence/v1/objects/{id}/trail.pdf", name="objects.trail_pdf", allow_head=False)
@access.token(Scope.TRAIL)
async def show_trail_pdf(request: web.Request) -> web.Response:
    """Return the audit trail of one object as a PDF."""
    return await print_trail(request)


async def print_trail(request: web.Request) -> web.Response:
    """Return the trail for people: tagged, in plain words."""
    store, trail = request.app[app_keys.STORE], await _read_recorded(request)
    page = await store.run(print_trails, [trail], store.keys.ledger.public, at=store.clock())
    name = trail.label.mark.replace("/", "-") if trail.label else trail.stored.id
    headers = CONTENT_HEADERS | {"Content-Disposition": disposition(f"audit trail {name}.pdf"), "Accept-Ranges": "none"}
    return web.Response(body=page, content_type="application/pdf", headers=headers)


async def _read_recorded(request: web.Request) -> Trail:
    """Return the trail, the last line of which may be that it was read."""
    stored = await access.get_sealed(request)
    await request.app[app_keys.READS].record(
        stored, action=Action.VIEWED, actor=request[app_keys.TOKEN].actor, purpose=access.purpose_of(request),
        what="audit trail",
    )  # fmt: skip
    async with request.app[app_keys.STORE].database.read() as db:
        return await read_trail(db, stored)
