"""Trails and packages by API."""

from contextlib import aclosing, suppress

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.answers import answer
from evidence_store.asked import read_json
from evidence_store.court.manifest import Order
from evidence_store.court.package import Choice, Package, finish_package, prepare_package
from evidence_store.court.printing import print_trails
from evidence_store.court.schemas import PackageRequest, TrailAnswer
from evidence_store.court.trail import Trail, read_trail
from evidence_store.court.writing import Told, zip_bytes, zip_pieces
from evidence_store.errors import BadRequest, StoreError
from evidence_store.model import Action
from evidence_store.objects import outgoing
from evidence_store.objects.views import CONTENT_HEADERS, disposition
from evidence_store.sealing import signing
from evidence_store.tokens import Scope

routes = web.RouteTableDef()
_MOST_JSON_BYTES = 1 << 16  # 500 ids and 20 checkpoints


@routes.get("/evidence/v1/objects/{id}/trail", name="objects.trail", allow_head=False)
@access.token(Scope.TRAIL)
async def show_trail(request: web.Request) -> web.Response:
    """Return the audit trail of one object: JSON, or a PDF for whom only that will do."""
    wanted = request.headers.get("Accept", "")
    if "application/pdf" in wanted and "application/json" not in wanted:
        response = await print_trail(request)
    else:
        trail = await _read_recorded(request)
        response = answer(TrailAnswer.of(trail, request.app[app_keys.STORE].keys.ledger.public))
    response.headers["Vary"] = "Accept"
    return response


@routes.get("/evidence/v1/objects/{id}/trail.pdf", name="objects.trail_pdf", allow_head=False)
@access.token(Scope.TRAIL)
async def show_trail_pdf(request: web.Request) -> web.Response:
    """Return the audit trail of one object as a PDF."""
    return await print_trail(request)


async def save_trail(request: web.Request) -> web.Response:
    """Return the trail for programs, with every proof, as a file to be saved."""
    trail = await _read_recorded(request)
    response = answer(TrailAnswer.of(trail, request.app[app_keys.STORE].keys.ledger.public))
    response.headers.update(CONTENT_HEADERS | {"Content-Disposition": disposition(f"{_name_of(trail)}.json")})
    return response


async def print_trail(request: web.Request) -> web.Response:
    """Return the trail for people: tagged, in plain words."""
    store, trail = request.app[app_keys.STORE], await _read_recorded(request)
    page = await store.run(print_trails, [trail], store.keys.ledger.public, at=store.clock())
    headers = CONTENT_HEADERS | {"Content-Disposition": disposition(f"{_name_of(trail)}.pdf"), "Accept-Ranges": "none"}
    return web.Response(body=page, content_type="application/pdf", headers=headers)


def _name_of(trail: Trail) -> str:
    return f"audit trail {trail.label.mark.replace('/', '-') if trail.label else trail.stored.id}"


@routes.post("/evidence/v1/packages", name="packages.make")
@access.token(Scope.EXPORT)
async def make_package(request: web.Request) -> web.StreamResponse:
    """Give out chosen exhibits as a court package: a zip file that can be checked without this program."""
    return await give_package(request, await read_json(request, PackageRequest, most=_MOST_JSON_BYTES))


async def give_package(
    request: web.Request, asked: PackageRequest, *, package_id: str = "", told: Told = lambda _bytes: None
) -> web.StreamResponse:
    """Send a package, for a system or a person that may have it. Raises a Refusal while nothing was sent.

    package_id  what it is called, where the caller must know before it is made; never used before
    """
    token, store = request[app_keys.TOKEN], request.app[app_keys.STORE]
    if len(set(asked.objects)) != len(asked.objects):
        raise BadRequest("Each object may be named once.")
    if asked.quarantined:
        token.require(Scope.QUARANTINE)
    wanted = Choice(asked.objects, token.sees, asked.quarantined)
    order = Order(package_id or signing.new_id(), token.actor, asked.recipient, asked.reason, store.clock())
    package = await prepare_package(store, order, wanted, asked.checkpoints)
    response = web.StreamResponse(headers=CONTENT_HEADERS | {"Accept-Ranges": "none"})
    response.content_type = "application/zip"
    response.content_length = zip_bytes(package)
    response.headers["Evidence-Package"] = order.package
    response.headers["Content-Disposition"] = disposition(f"court-package-{order.package[:8]}.zip")
    return await _send(request, package, response, told)


async def _send(request: web.Request, package: Package, response: web.StreamResponse, told: Told) -> web.StreamResponse:
    store = request.app[app_keys.STORE]
    try:
        async with aclosing(zip_pieces(store, package, told)) as pieces:
            async for piece in pieces:
                if not response.prepared:
                    await response.prepare(request)
                await outgoing.write(request, response, piece)
        with suppress(ConnectionError):  # of known length, it ended with its last byte: who has that may be gone
            await response.write_eof()
    except ConnectionError:
        return response  # the reader went away: the ledger keeps that it was shared, not that it was exported
    except StoreError:
        if not response.prepared:
            raise
        request.protocol.force_close()  # the reader sees a file cut short, never a package with wrong bytes
        return response
    await finish_package(store, package)
    return response


async def _read_recorded(request: web.Request) -> Trail:
    """Return the trail, the last line of which may be that it was read."""
    stored = await access.get_sealed(request)
    vouched = request[app_keys.VOUCHED]
    await request.app[app_keys.READS].record(
        stored, action=Action.VIEWED, actor=request[app_keys.TOKEN].actor, purpose=access.purpose_of(request),
        what="audit trail", vouched=vouched,
    )  # fmt: skip
    async with request.app[app_keys.STORE].database.read() as db:
        return await read_trail(db, stored, vouched=vouched)
