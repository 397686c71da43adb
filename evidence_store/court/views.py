"""Trails and packages by API."""

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.court.schemas import TrailAnswer
from evidence_store.court.trail import Trail, read_trail
from evidence_store.custody.views import answer
from evidence_store.model import Action
from evidence_store.tokens import Scope

routes = web.RouteTableDef()


@routes.get("/evidence/v1/objects/{id}/trail", name="objects.trail", allow_head=False)
@access.token(Scope.TRAIL)
async def show_trail(request: web.Request) -> web.Response:
    """Return the audit trail of one object."""
    trail = await _read_recorded(request)
    return answer(TrailAnswer.of(trail, request.app[app_keys.STORE].keys.ledger.public))


async def _read_recorded(request: web.Request) -> Trail:
    """Return the trail, the last line of which may be that it was read."""
    stored = await access.get_sealed(request)
    await request.app[app_keys.READS].record(
        stored, action=Action.VIEWED, actor=request[app_keys.TOKEN].actor, purpose=access.purpose_of(request),
        what="audit trail",
    )  # fmt: skip
    async with request.app[app_keys.STORE].database.read() as db:
        return await read_trail(db, stored)
