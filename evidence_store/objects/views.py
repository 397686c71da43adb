"""The storage API: put, read."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from aiohttp import web

from evidence_store import access, app_keys, repeats, vouching
from evidence_store.answers import answer
from evidence_store.asked import read_headers
from evidence_store.errors import (
    Conflict,
    Damaged,
    DamagedHere,
    Disposed,
    Forbidden,
    KeyReused,
    NotScreened,
    Quarantined,
    Refusal,
)
from evidence_store.model import (
    Action,
    ObjectState,
    StoredObject,
    clean_filename,
    clean_officer,
    parse_id,
)
from evidence_store.objects import outgoing
from evidence_store.objects import service as objects
from evidence_store.objects.ranges import is_known, parse_range
from evidence_store.schemas import Metadata, ObjectHeaders
from evidence_store.sealing.reading import SealedObject
from evidence_store.tokens import Scope

routes = web.RouteTableDef()
CONTENT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
    "Accept-Ranges": "bytes",
}


@routes.put("/evidence/v1/objects/{id}", name="objects.put")
@access.token(Scope.SEAL)
async def put(request: web.Request) -> web.Response:
    """Seal one object sent in one piece; durable and in the ledger when the answer comes."""
    return await _take_whole(request, parse_id(request.match_info["id"]))


@routes.post("/evidence/v1/objects", name="objects.post")
@access.token(Scope.SEAL)
async def post(request: web.Request) -> web.Response:
    """Seal one object sent in one piece, under a new id; under the same one again with the same Idempotency-Key."""
    object_id = repeats.made_id(request)
    try:
        response = await _take_whole(request, object_id)
    except Conflict as refusal:
        raise KeyReused(about=object_id) from refusal
    except Refusal as refusal:
        refusal.about = object_id
        raise
    response.headers["Location"] = f"/evidence/v1/objects/{object_id}"
    return response


async def _take_whole(request: web.Request, object_id: str) -> web.Response:
    token, said = request[app_keys.TOKEN], read_headers(request, ObjectHeaders)
    offer = objects.Offer(
        id=object_id,
        incident=said.incident,
        kind=said.kind,
        media_type=request.headers.get("Content-Type", ""),
        filename=clean_filename(unquote(said.filename)),
        sha256=said.sha256.lower(),
        actor=token.actor,
        size_bytes=request.content_length,
        officer=clean_officer(unquote(said.officer)),
    )
    if not token.sees(offer.incident):
        raise Forbidden("The token is for another incident.")
    store = request.app[app_keys.STORE]
    stored, is_new = await objects.put(store, offer, request)
    if not is_new and not (await vouching.vouch(store, [stored], actor=token.actor))[stored.id]:
        raise DamagedHere  # not acknowledged: whoever sends it must keep it
    return answer(Metadata.of(stored, vouched=True), status=201 if is_new else 200)


@routes.get("/evidence/v1/objects/{id}/content", name="objects.content", allow_head=False)
@access.token(Scope.READ, Scope.READ_OWN)
async def content(request: web.Request) -> web.StreamResponse:
    """Give out the original bytes, whole or one range. Recorded in the ledger before the first byte leaves."""
    return await give_out(request, await access.get_sealed(request), purpose=access.purpose_of(request))


@routes.head("/evidence/v1/objects/{id}/content", name="objects.content_head")
@access.token(Scope.READ, Scope.READ_OWN)
async def content_head(request: web.Request) -> web.StreamResponse:
    """Tell what GET would send, without a byte of it; in the ledger as a look, not as bytes given out."""
    stored = await access.get_sealed(request)
    await _look(request, stored, purpose=access.purpose_of(request))
    unchanged = _unchanged(request, stored)
    return _head_of(stored, None) if unchanged is None else unchanged


async def _look(request: web.Request, stored: StoredObject, *, purpose: str) -> None:
    """Have it in the ledger that somebody is told of an object's bytes, and gets none of them."""
    _check_may_read(request, stored)
    actor = request[app_keys.TOKEN].actor
    await objects.find_header(request.app[app_keys.STORE], stored, actor=actor)
    await request.app[app_keys.READS].record(stored, action=Action.VIEWED, actor=actor, purpose=purpose)


async def give_out(request: web.Request, stored: StoredObject, *, purpose: str) -> web.StreamResponse:
    """Send an object's bytes, whole or one range, to whoever the request's token is for.

    Raises Disposed, Quarantined, RangeRefused, NoOpeningKey, DamagedHere
    """
    _check_may_read(request, stored)
    token = request[app_keys.TOKEN]
    etag = _etag_of(stored)
    unchanged = _unchanged(request, stored)
    if unchanged is not None:  # which tells its holder that these are the bytes
        await _look(request, stored, purpose=purpose)
        return unchanged
    ranged = request.headers.get("Range") if request.headers.get("If-Range", etag) == etag else None
    span = parse_range(ranged, stored.size_bytes)
    async with objects.opened(request.app[app_keys.STORE], stored, actor=token.actor) as sealed:
        reads = request.app[app_keys.READS]
        await reads.record(stored, action=Action.DOWNLOADED, actor=token.actor, purpose=purpose)
        return await _send(_Sending(request, stored, sealed, token.actor), span)


def _unchanged(request: web.Request, stored: StoredObject) -> web.Response | None:
    """Return the answer to who has these bytes already; None for who may not."""
    etag = _etag_of(stored)
    knows = is_known(request.headers.get("If-None-Match"), etag)
    return web.Response(status=304, headers={"ETag": etag}) if knows else None


def _check_may_read(request: web.Request, stored: StoredObject) -> None:
    if stored.state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
        raise Disposed
    may_all = Scope.QUARANTINE in request[app_keys.TOKEN].scopes
    if stored.state is ObjectState.QUARANTINED and not may_all:
        raise Quarantined
    if stored.state is ObjectState.SCREENING and not may_all:
        raise NotScreened
    if not request[app_keys.VOUCHED]:
        raise DamagedHere


def _etag_of(stored: StoredObject) -> str:
    return f'"{stored.sha256}"'


def _head_of(stored: StoredObject, span: tuple[int, int] | None) -> web.StreamResponse:
    """Return an answer with all of its headers and nothing sent."""
    start, stop = span or (0, stored.size_bytes)
    headers = CONTENT_HEADERS | {"ETag": _etag_of(stored), "Content-Disposition": disposition(stored.filename)}
    response = web.StreamResponse(status=206 if span else 200, headers=headers)
    response.content_type = stored.media_type
    if stored.media_type == "text/plain":
        response.charset = "utf-8"
    response.content_length = stop - start
    if span:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stored.size_bytes}"
    return response


@dataclass
class _Sending:
    """What is being given out, and to whom."""

    request: web.Request
    stored: StoredObject
    sealed: SealedObject
    actor: str


async def _send(sending: _Sending, span: tuple[int, int] | None) -> web.StreamResponse:
    stored, store = sending.stored, sending.request.app[app_keys.STORE]
    start, stop = span or (0, stored.size_bytes)
    response = _head_of(stored, span)
    try:
        await outgoing.send(sending.request, response, store, sending.sealed, start, stop)
    except ConnectionError:
        return response  # the reader went away
    except Damaged as problem:
        await objects.record_damage(store, stored, actor=sending.actor, what=str(problem))
        if not response.prepared:
            raise DamagedHere from problem
        sending.request.protocol.force_close()  # the reader sees a body cut short, never wrong bytes
        return response
    await response.write_eof()
    return response


def disposition(filename: str) -> str:
    """Return Content-Disposition: always an attachment, the name in both forms (RFC 6266)."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in filename) or "unnamed"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
