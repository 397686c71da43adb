"""Quarantine by API: why an object is set aside, and its release."""

from aiohttp import web

from evidence_store import access, app_keys, repeats
from evidence_store.answers import answer
from evidence_store.asked import read_json, read_query
from evidence_store.custody.views import act_of
from evidence_store.keeping import lists
from evidence_store.keeping.schemas import ReasonRequest
from evidence_store.model import Action, parse_id
from evidence_store.quarantine import schemas, service, storage
from evidence_store.tokens import Scope

routes = web.RouteTableDef()


@routes.get("/evidence/v1/objects/{id}/quarantine", name="objects.quarantine", allow_head=False)
@access.token(Scope.QUARANTINE)
async def show(request: web.Request) -> web.Response:
    """Say why an object is set aside. Recorded in the ledger before it is told."""
    stored, store = await access.get_sealed(request), request.app[app_keys.STORE]
    vouched = request[app_keys.VOUCHED]
    await request.app[app_keys.READS].record(
        stored, action=Action.VIEWED, actor=request[app_keys.TOKEN].actor, purpose=access.purpose_of(request),
        vouched=vouched,
    )  # fmt: skip
    async with store.database.read() as db:
        standing = await service.read_standing(db, stored)
        releases = await storage.list_releases_on(db, stored.id)
    return answer(schemas.Quarantine.of(stored, standing, releases, vouched=vouched))


@routes.post("/evidence/v1/objects/{id}/releases", name="objects.release")
@access.token(Scope.RELEASE)
@repeats.once()
async def release(request: web.Request) -> web.Response:
    """Take an object out of quarantine; where malware was found, propose it to a second person."""
    stored, asked = await access.get_sealed(request), await read_json(request, schemas.ReleaseRequest)
    made = await service.release(
        request.app[app_keys.STORE], stored, act_of(request), request[app_keys.TOKEN], knowing=asked.knowing,
        reason=asked.reason,
    )  # fmt: skip
    return answer(schemas.ReleaseAnswer.of(made), status=201)


@routes.get("/evidence/v1/releases", name="releases.list", allow_head=False)
@access.token(Scope.RELEASE)
async def list_releases(request: web.Request) -> web.Response:
    """Return the releases that wait for a second person."""
    store, asked = request.app[app_keys.STORE], read_query(request, schemas.ReleasesAsked)
    key, asked = store.keys.token, lists.narrow(asked, request[app_keys.TOKEN])
    after = lists.open_place(key, asked)
    async with store.database.read() as db:
        found = await storage.list_proposed(db, incident=asked.incident, limit=asked.limit + 1, after=after)
    page, following = lists.cut_page(key, asked, found, lambda one: (one.asked_at, one.id))
    return answer(schemas.ReleaseList(releases=list(map(schemas.ReleaseAnswer.of, page)), next=following))


@routes.post("/evidence/v1/releases/{id}/approve", name="releases.approve")
@access.token(Scope.RELEASE)
@repeats.once()
async def approve(request: web.Request) -> web.Response:
    """Approve a release as a second person; the object is available at once."""
    return await _decide(request, approve=True)


@routes.post("/evidence/v1/releases/{id}/reject", name="releases.reject")
@access.token(Scope.RELEASE)
@repeats.once()
async def reject(request: web.Request) -> web.Response:
    """Reject a release as a second person; the object stays in quarantine."""
    return await _decide(request, approve=False)


async def _decide(request: web.Request, *, approve: bool) -> web.Response:
    asked, token = await read_json(request, ReasonRequest), request[app_keys.TOKEN]
    decided = await service.decide(
        request.app[app_keys.STORE], parse_id(request.match_info["id"]), token, approve=approve, reason=asked.reason
    )
    return answer(schemas.ReleaseAnswer.of(decided))
