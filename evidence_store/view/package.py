"""What a court is shown, by the pages: an exhibit's audit trail as a PDF."""

from aiohttp import web

from evidence_store.court.views import print_trail
from evidence_store.tokens import Scope
from evidence_store.view import guards

routes = web.RouteTableDef()


@routes.get("/evidence/view/objects/{id}/trail.pdf", name="view.trail", allow_head=False)
@guards.person(Scope.TRAIL)
async def trail(request: web.Request) -> web.Response:
    """Send the audit trail to be saved; that it was read is its last line."""
    return await print_trail(request)
