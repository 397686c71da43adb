"""Uploads over HTTP: tus 1.0.0 with creation, the bearer's renewal, and the digest at the end."""

from typing import Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from evidence_store import access, app_keys, grants, tus
from evidence_store.errors import BadRequest, GrantRefused, TooLarge
from evidence_store.model import ObjectState, parse_id
from evidence_store.schemas import BearerAnswer, DigestAnswer, DigestRequest

routes = web.RouteTableDef()
_MAX_JSON_BYTES = 4096
M = TypeVar("M", bound=BaseModel)


@routes.options("/evidence/files/", name="files.options")
@routes.options("/evidence/files/{id}", name="file.options")
@access.public
async def options(request: web.Request) -> web.Response:
    """Say what is spoken here."""
    limit = request.app[app_keys.STORE].settings.max_bytes
    headers = {"Tus-Version": tus.VERSION, "Tus-Extension": tus.EXTENSIONS, "Tus-Max-Size": str(limit)}
    return web.Response(status=204, headers=_tus(headers))


@routes.post("/evidence/files/", name="files.create")
@access.grant
async def create(request: web.Request) -> web.Response:
    """Open the upload that a grant is for."""
    tus.check_version(request.headers)
    grant = access.open_grant(request)
    store = request.app[app_keys.STORE]
    if request.body_exists and request.content_length != 0:
        raise BadRequest("Create without a body; send the bytes with PATCH.")
    length = tus.parse_length(request.headers, max_bytes=store.settings.max_bytes)
    metadata = tus.parse_metadata(request.headers)
    upload = await request.app[app_keys.UPLOADS].create(grant, length=length, metadata=metadata)
    bearer = grants.make_bearer(store.keys.bearer, upload.id, now=store.clock())
    headers = {"Location": f"/evidence/files/{upload.id}", "Upload-Bearer": bearer}
    return web.Response(status=201, headers=_tus(headers))


@routes.head("/evidence/files/{id}", name="file.stand")
@access.bearer
async def stand(request: web.Request) -> web.Response:
    """Say where an upload stands; every byte before the offset is durable."""
    tus.check_version(request.headers)
    upload = await request.app[app_keys.UPLOADS].stand(parse_id(request.match_info["id"]))
    headers = {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.length), "Cache-Control": "no-store"}
    return web.Response(headers=_tus(headers))


@routes.patch("/evidence/files/{id}", name="file.append")
@access.bearer
async def append(request: web.Request) -> web.Response:
    """Take the next bytes; durable when the answer comes."""
    tus.check_version(request.headers)
    offset = tus.parse_patch(request.headers)
    upload = await request.app[app_keys.UPLOADS].append(
        parse_id(request.match_info["id"]), offset=offset, body_bytes=request.content_length, stream=request.content
    )
    return web.Response(status=204, headers=_tus({"Upload-Offset": str(upload.offset)}))


@routes.post("/evidence/files/{id}/bearer", name="file.bearer")
@access.grant
async def renew(request: web.Request) -> web.Response:
    """Give a new bearer for a fresh grant of the same incident."""
    grant = access.open_grant(request)
    upload = await request.app[app_keys.UPLOADS].get(parse_id(request.match_info["id"]))
    if upload.incident != grant.incident:
        raise GrantRefused("The grant is for another incident.")
    store = request.app[app_keys.STORE]
    bearer = grants.make_bearer(store.keys.bearer, upload.id, now=store.clock())
    answer = BearerAnswer(bearer=bearer).model_dump_json()
    return web.Response(text=answer, content_type="application/json", headers={"Upload-Bearer": bearer})


@routes.post("/evidence/files/{id}/digest", name="file.digest")
@access.bearer
async def digest(request: web.Request) -> web.Response:
    """Compare the sender's digest with ours and seal."""
    given = await read_json(request, DigestRequest)
    uploads = request.app[app_keys.UPLOADS]
    stored = await uploads.give_digest(parse_id(request.match_info["id"]), given.sha256.lower())
    quarantined = stored.verdict is ObjectState.QUARANTINED
    state: Literal["received", "quarantined"] = "quarantined" if quarantined else "received"
    answer = DigestAnswer(id=stored.id, state=state, sha256=stored.sha256)
    return web.Response(text=answer.model_dump_json(), content_type="application/json")


async def read_json(request: web.Request, model: type[M]) -> M:
    """Return a small JSON body as its model. Raises BadRequest or TooLarge."""
    body = await request.content.read(_MAX_JSON_BYTES + 1)
    while len(body) <= _MAX_JSON_BYTES and not request.content.at_eof():
        body += await request.content.read(_MAX_JSON_BYTES + 1)
    if len(body) > _MAX_JSON_BYTES:
        raise TooLarge(f"At most {_MAX_JSON_BYTES} bytes of JSON.")
    try:
        return model.model_validate_json(body)
    except ValidationError as problem:
        where = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in problem.errors())
        raise BadRequest(where) from None


def _tus(headers: dict[str, str]) -> dict[str, str]:
    return {"Tus-Resumable": tus.VERSION} | headers
