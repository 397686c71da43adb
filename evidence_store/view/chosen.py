"""What is chosen for a court package; the choice lasts as long as the visit."""

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.custody.storage import find_label
from evidence_store.errors import Disposed, NotFound, TooMany
from evidence_store.model import ObjectState, parse_id
from evidence_store.storage import find_object
from evidence_store.tokens import Scope
from evidence_store.view import giving, guards, pages, storage

routes = web.RouteTableDef()
MOST = 200


@routes.get("/evidence/view/chosen", name="view.chosen", allow_head=False)
@guards.person(Scope.EXPORT)
async def show(request: web.Request) -> web.Response:
    """List what is chosen."""
    async with request.app[app_keys.STORE].database.read() as db:
        found = await storage.list_chosen(db, request[guards.PERSON].id)
        listed = [(stored, await find_label(db, stored.id)) for stored in found]
        given = await giving.list_given(request, db, found)
    return pages.render(
        request, "chosen.html", listed=listed, given=given, total=sum(stored.size_bytes for stored in found),
        not_vouched=await access.find_doubted(request, found), done=pages.done(request),
    )  # fmt: skip


@routes.post("/evidence/view/chosen", name="view.choose")
@guards.person(Scope.EXPORT)
async def choose(request: web.Request) -> web.Response:
    """Choose exhibits; 303 to what is chosen."""
    store, session_id = request.app[app_keys.STORE], request[guards.PERSON].id
    sent = await guards.read_lists(request)
    ids = {parse_id(one) for one in sent.get("shown" if "every" in sent else "object", [])}
    async with store.database.begin() as db:
        ids -= {stored.id for stored in await storage.list_chosen(db, session_id)}
        if request[guards.CHOSEN] + len(ids) > MOST:
            raise TooMany(f"At most {MOST} exhibits go into one package. Put some back, or make it in parts.")
        for one in ids:
            stored = await find_object(db, one)
            if stored is None or not request[app_keys.TOKEN].sees(stored.incident):
                raise NotFound
            if stored.state not in {ObjectState.RECEIVED, ObjectState.QUARANTINED}:
                raise Disposed(about=one)
            await storage.choose(db, session_id, one, now=store.clock())
    return pages.see(request, "view.chosen", done="chosen" if sent.keys() & {"object", "every"} else "none")


@routes.post("/evidence/view/chosen/back", name="view.put_all_back")
@guards.person(Scope.EXPORT)
async def put_all_back(request: web.Request) -> web.Response:
    """Put all that is chosen back; 303 to what is left, which is nothing."""
    async with request.app[app_keys.STORE].database.begin() as db:
        await storage.put_back(db, request[guards.PERSON].id)
    return pages.see(request, "view.chosen", done="all_back")


@routes.post("/evidence/view/chosen/{id}/back", name="view.put_back")
@guards.person(Scope.EXPORT)
async def put_back(request: web.Request) -> web.Response:
    """Put one exhibit back; 303 to what is left."""
    stored = await access.get_sealed(request)
    async with request.app[app_keys.STORE].database.begin() as db:
        await storage.put_back(db, request[guards.PERSON].id, stored.id)
    return pages.see(request, "view.chosen", done="back")
