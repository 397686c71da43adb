"""Breaking the glass by API."""

from aiohttp import web

from evidence_store import access, app_keys, repeats
from evidence_store.answers import answer
from evidence_store.asked import read_json
from evidence_store.breakglass import service
from evidence_store.breakglass.schemas import GlassAnswer, GlassRequest
from evidence_store.custody.views import act_of
from evidence_store.errors import NotFound
from evidence_store.model import ObjectState, parse_id
from evidence_store.storage import find_object
from evidence_store.tokens import Scope

routes = web.RouteTableDef()


@routes.post("/evidence/v1/objects/{id}/break-glass", name="objects.break_glass")
@access.token(Scope.BREAK_GLASS)
@repeats.once()
async def break_glass(request: web.Request) -> web.Response:
    """Open one object of another incident for some minutes; supervisors are alarmed."""
    store, asked = request.app[app_keys.STORE], await read_json(request, GlassRequest)
    async with store.database.read() as db:
        stored = await find_object(db, parse_id(request.match_info["id"]))
    if stored is None or stored.state is ObjectState.SEALING:
        raise NotFound
    wanted = service.Wanted(stored.incident, stored.id, stored.sha256)
    glass = await service.break_glass(store, wanted, act_of(request), request[app_keys.TOKEN], reason=asked.reason)
    return answer(GlassAnswer.of(glass), status=201)
