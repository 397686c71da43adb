"""Uploads over HTTP: tus 1.0.0 with its extensions, grants for systems, the bearer's renewal, the digest at the end."""

from datetime import timedelta
from functools import wraps
from typing import Literal

from aiohttp import web

from evidence_store import access, app_keys, grants, repeats
from evidence_store.access import Handler
from evidence_store.answers import answer
from evidence_store.asked import read_json
from evidence_store.errors import BadRequest, Elsewhere, Forbidden, GrantRefused
from evidence_store.model import ObjectState, Upload, parse_id, parse_incident
from evidence_store.schemas import BearerAnswer, DigestAnswer, DigestRequest, GrantAnswer, GrantRequest
from evidence_store.tokens import Scope
from evidence_store.uploads import tus

routes = web.RouteTableDef()


def at_holder(handler: Handler) -> Handler:
    """Have the node that holds an upload answer, where this one does not."""

    @wraps(handler)
    async def passed(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Elsewhere as elsewhere:
            return await request.app[app_keys.PASSING].pass_on(request, elsewhere, request.get(app_keys.BODY))

    return passed


@routes.options("/evidence/files/", name="files.options")
@routes.options("/evidence/files/{id}", name="file.options")
@access.public
async def options(request: web.Request) -> web.Response:
    """Say what is spoken here."""
    limit = request.app[app_keys.STORE].settings.max_bytes
    headers = {"Tus-Version": tus.VERSION, "Tus-Extension": tus.EXTENSIONS, "Tus-Max-Size": str(limit)}
    headers["Tus-Checksum-Algorithm"] = tus.CHECKSUMS
    return web.Response(status=204, headers=_tus(headers))


@routes.post("/evidence/files/", name="files.create")
@access.grant
@at_holder
async def create(request: web.Request) -> web.Response:
    """Open the upload that a grant is for, and take its first bytes when they come along: all of them or none."""
    tus.check_version(request.headers)
    grant = access.open_grant(request)
    store, uploads = request.app[app_keys.STORE], request.app[app_keys.UPLOADS]
    length = tus.parse_length(request.headers, max_bytes=store.settings.max_bytes)
    metadata, checksum = tus.parse_metadata(request.headers), tus.parse_checksum(request.headers)
    told = request.headers.get("Upload-Metadata", "")
    with_upload = request.body_exists and request.content_length != 0
    if with_upload:
        tus.check_body(request.headers, length=length, body_bytes=request.content_length)
    upload = await uploads.create(grant, length=length, metadata=metadata, told=told)
    if with_upload:
        upload = await uploads.append(
            upload.id, offset=0, body_bytes=request.content_length, request=request, checksum=checksum,
            whole=True,
        )  # fmt: skip
    bearer = grants.make_bearer(store.keys.bearer, upload.id, now=store.clock())
    headers = {"Location": f"/evidence/files/{upload.id}", "Upload-Bearer": bearer}
    return web.Response(status=201, headers=headers | _stands(request, upload))


@routes.head("/evidence/files/{id}", name="file.stand")
@access.bearer
@at_holder
async def stand(request: web.Request) -> web.Response:
    """Say where an upload stands; every byte before the offset is durable."""
    tus.check_version(request.headers)
    upload = await request.app[app_keys.UPLOADS].stand(parse_id(request.match_info["id"]))
    headers = {"Upload-Length": str(upload.length)}
    if told := tus.format_metadata(upload):
        headers["Upload-Metadata"] = told
    return web.Response(headers=headers | {"Cache-Control": "no-store"} | _stands(request, upload))


@routes.patch("/evidence/files/{id}", name="file.append")
@access.bearer
@at_holder
async def append(request: web.Request) -> web.Response:
    """Take the next bytes; durable when the answer comes."""
    tus.check_version(request.headers)
    offset, checksum = tus.parse_patch(request.headers), tus.parse_checksum(request.headers)
    upload = await request.app[app_keys.UPLOADS].append(
        parse_id(request.match_info["id"]), offset=offset, body_bytes=request.content_length, request=request,
        checksum=checksum,
    )  # fmt: skip
    return web.Response(status=204, headers=_stands(request, upload))


@routes.delete("/evidence/files/{id}", name="file.terminate")
@access.bearer
@at_holder
async def terminate(request: web.Request) -> web.Response:
    """Give up an unfinished upload; what came of it is destroyed."""
    tus.check_version(request.headers)
    await request.app[app_keys.UPLOADS].terminate(parse_id(request.match_info["id"]))
    return web.Response(status=204, headers=_tus({}))


@routes.post("/evidence/files/{id}", name="file.overridden")
@access.bearer
async def overridden(request: web.Request) -> web.StreamResponse:
    """Do what X-HTTP-Method-Override says, for senders whose network lets only POST through."""
    meant = {"HEAD": stand, "PATCH": append, "DELETE": terminate}.get(request.headers.get("X-HTTP-Method-Override", ""))
    if meant is None:
        raise web.HTTPMethodNotAllowed("POST", ["DELETE", "HEAD", "OPTIONS", "PATCH"])
    return await meant(request)


@routes.post("/evidence/files/{id}/bearer", name="file.bearer")
@access.grant
async def renew(request: web.Request) -> web.Response:
    """Give a new bearer for a fresh grant of the same incident and reference."""
    grant = access.open_grant(request)
    upload = await request.app[app_keys.UPLOADS].get(parse_id(request.match_info["id"]))
    if (upload.incident, upload.reference) != (grant.incident, grant.reference):
        raise GrantRefused("The grant is for another incident, or of another reference.", actor=grant.actor)
    store = request.app[app_keys.STORE]
    bearer = grants.make_bearer(store.keys.bearer, upload.id, now=store.clock())
    response = answer(BearerAnswer(bearer=bearer))
    response.headers["Upload-Bearer"] = bearer
    return response


@routes.post("/evidence/files/{id}/digest", name="file.digest")
@access.bearer
@at_holder
async def digest(request: web.Request) -> web.Response:
    """Compare the sender's digest with ours and seal."""
    given = await read_json(request, DigestRequest)
    uploads = request.app[app_keys.UPLOADS]
    stored = await uploads.give_digest(parse_id(request.match_info["id"]), given.sha256.lower())
    quarantined = stored.verdict is ObjectState.QUARANTINED
    state: Literal["received", "quarantined"] = "quarantined" if quarantined else "received"
    return answer(DigestAnswer(id=stored.id, state=state, sha256=stored.sha256))


@routes.post("/evidence/v1/grants", name="grants.create")
@access.token(Scope.UPLOAD_GRANT)
@repeats.once(keeps_answer=False)
async def create_grant(request: web.Request) -> web.Response:
    """Make a grant for a system that does not hold the grant key."""
    token, store = request[app_keys.TOKEN], request.app[app_keys.STORE]
    asked = await read_json(request, GrantRequest)
    if not token.sees(parse_incident(asked.incident)):
        raise Forbidden("The token is for another incident.")
    expires_at = store.clock() + timedelta(seconds=asked.seconds)
    try:
        grant = grants.make_grant(
            store.keys.grant,
            incident=asked.incident,
            reference=asked.reference,
            officer=asked.officer,
            max_bytes=asked.max_bytes,
            kinds=asked.kinds,
            expires_at=expires_at,
            upload=repeats.made_id(request),
        )
    except ValueError as problem:
        raise BadRequest(str(problem)) from None
    return answer(GrantAnswer(grant=grant, expires_at=expires_at), status=201)


def _stands(request: web.Request, upload: Upload) -> dict[str, str]:
    expires = tus.format_expires(upload, abandoned_days=request.app[app_keys.STORE].settings.abandoned_days)
    return _tus({"Upload-Offset": str(upload.offset)} | ({"Upload-Expires": expires} if expires else {}))


def _tus(headers: dict[str, str]) -> dict[str, str]:
    return {"Tus-Resumable": tus.VERSION} | headers
