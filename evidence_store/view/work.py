"""What waits for staff: open holds, disposals for a second person, what is due for review."""

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.custody.storage import find_label
from evidence_store.database import Connection
from evidence_store.keeping import storage
from evidence_store.quarantine.storage import list_proposed as list_releases
from evidence_store.storage import find_object
from evidence_store.tokens import Scope
from evidence_store.view import guards, pages

routes = web.RouteTableDef()
MOST = 200


@routes.get("/evidence/view/work", name="view.work", allow_head=False)
@guards.person(Scope.HOLD)
async def show(request: web.Request) -> web.Response:
    """List open holds, what waits for a second person, and exhibits due for review."""
    store, token = request.app[app_keys.STORE], request[app_keys.TOKEN]
    async with store.database.read() as db:
        holds = await storage.list_open_holds(db, incident=token.incident, limit=MOST)
        reviews = await storage.list_proposed(db, incident=token.incident, limit=MOST)
        releases = await list_releases(db, incident=token.incident, limit=MOST)
        ended = await storage.list_due(db, before=store.clock(), incident=token.incident, after=None, limit=MOST)
        due = [one.stored for one in ended if not one.is_held]
        listed = {one.object for one in holds} | {one.object for one in reviews} | {one.object for one in releases}
        names = {one: await name_of(db, one) for one in listed if one}
        names |= {stored.id: await name_of(db, stored.id) for stored in due}
    return pages.render(
        request, "work.html", holds=holds, reviews=reviews, releases=releases, due=due, names=names, most=MOST,
        mine=token.name.casefold(), not_vouched=await access.find_doubted(request, due), done=pages.done(request),
    )  # fmt: skip


async def name_of(db: Connection, object_id: str) -> str:
    """Return what an exhibit is called: its mark, else its file's name."""
    label = await find_label(db, object_id)
    stored = await find_object(db, object_id)
    return label.mark if label else stored.filename if stored else object_id
