"""Previews by API. A look at one is a line in the ledger before a byte of it leaves."""

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.errors import DamagedHere, Disposed, NotScreened, Quarantined
from evidence_store.media.model import Preview
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.objects.ranges import is_known, parse_range
from evidence_store.objects.views import CONTENT_HEADERS
from evidence_store.sealing import signing
from evidence_store.tokens import Scope

routes = web.RouteTableDef()
_HEADERS = CONTENT_HEADERS | {"Content-Disposition": "inline"}


@routes.get("/evidence/v1/objects/{id}/preview", name="objects.preview", allow_head=False)
@access.token(Scope.READ, Scope.READ_OWN)
async def picture(request: web.Request) -> web.Response:
    """Give a picture of a picture, film or document: small, upright, without metadata."""
    return await show_picture(request)


async def show_picture(request: web.Request) -> web.Response:
    """Return the picture of the object in the address, for a system or a person that may see it."""
    stored = await get_shown(request)
    return await _answer(request, stored, await request.app[app_keys.MEDIA].picture(stored), what="preview")


@routes.get("/evidence/v1/objects/{id}/preview/playable", name="objects.playable", allow_head=False)
@access.token(Scope.READ, Scope.READ_OWN)
async def playable(request: web.Request) -> web.Response:
    """Give the first seconds of a film or sound, whole or one range. The first answer takes as long as making it."""
    return await show_playable(request)


async def show_playable(request: web.Request) -> web.Response:
    """Return what can be played of the object in the address, for a system or a person that may see it."""
    stored = await get_shown(request)
    return await _answer(request, stored, await request.app[app_keys.MEDIA].playable(stored), what="playable")


async def get_shown(request: web.Request) -> StoredObject:
    """Return the object in the address, of which previews may be seen.

    Raises NotFound, Disposed, NotScreened, Quarantined, DamagedHere
    """
    stored = await access.get_sealed(request)
    if stored.state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
        raise Disposed
    if stored.state is ObjectState.SCREENING:
        raise NotScreened
    if stored.state is ObjectState.QUARANTINED:
        raise Quarantined("What is in quarantine is not opened, so there is no preview of it.")
    if not request[app_keys.VOUCHED]:
        raise DamagedHere  # also where one is kept in memory from before
    return stored


async def _answer(request: web.Request, stored: StoredObject, preview: Preview, *, what: str) -> web.Response:
    etag = f'"{signing.sha256_hex(preview.data)[:32]}"'
    if is_known(request.headers.get("If-None-Match"), etag):
        return web.Response(status=304, headers={"ETag": etag})
    ranged = request.headers.get("Range") if request.headers.get("If-Range", etag) == etag else None
    span = parse_range(ranged, len(preview.data))
    await request.app[app_keys.READS].record(
        stored, action=Action.VIEWED, actor=request[app_keys.TOKEN].actor, purpose=access.purpose_of(request),
        what=what,
    )  # fmt: skip
    start, stop = span or (0, len(preview.data))
    headers = _HEADERS | {"ETag": etag, "Evidence-Derived-From": stored.sha256}
    if span:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(preview.data)}"
    return web.Response(
        status=206 if span else 200, body=preview.data[start:stop], content_type=preview.media_type, headers=headers
    )
