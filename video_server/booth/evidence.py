"""What an officer does with evidence on the call's page: ask, withdraw, look at what came."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from aiohttp import web
from pydantic import Field

from evidence_store.errors import NoPreviewHere, NotScreened, Quarantined, RangeRefused, StoreError
from evidence_store.errors import NotFound as NotStored
from video_server.accounts import access as staff_access
from video_server.booth import access
from video_server.booth.views import booth_staff
from video_server.core.errors import N_, Conflict, NotFound, Refusal
from video_server.evidence import forwarder, model, service
from video_server.evidence import pages as staff_pages
from video_server.evidence.link import STORE, StoreDown
from video_server.evidence.model import Item, ItemState
from video_server.incidents import service as incidents
from video_server.web import app_keys, middleware
from video_server.web.bodies import Body, Empty, read_body

routes = web.RouteTableDef()

HERE = "/booth/appointments/{appointment}/evidence"
CONTENT_HEADERS = ("Content-Type", "Content-Length", "Content-Range", "ETag", "Accept-Ranges", "Content-Disposition")


class SetAside(Conflict):
    code = "evidence_quarantined"
    public = N_("This file was set aside. It is kept, and cannot be opened here.")


class BeingScreened(Conflict):
    code = "evidence_being_screened"
    public = N_("This file is being screened for harmful content. Try again in a moment.")


class NoSuchRange(Refusal):
    code = "evidence_range"
    status = 416
    public = N_("That part of the file does not exist.")


class Ask(Body):
    kind: Literal["photo", "video", "document", "audio"]
    note: str = Field(max_length=2_000)


@routes.post(HERE, name="booth.evidence_ask")
@booth_staff
async def ask(request: web.Request) -> web.Response:
    """Ask the person for a photo, video, document or sound; their phone shows it at once."""
    body = await read_body(request, Ask)
    person, now = request[staff_access.STAFF], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        made = await service.request_item(
            db, appointment, kind=model.Kind(body.kind), note=body.note, by=person.id, now=now
        )
    return web.json_response({"id": made.id})


@routes.post(HERE + "/{request:[0-9a-f]{32}}/withdraw", name="booth.evidence_withdraw")
@booth_staff
async def withdraw(request: web.Request) -> web.Response:
    """Take a request back; what has come is kept."""
    await read_body(request, Empty)
    person, now = request[staff_access.STAFF], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment = await access.access_requested(db, request)
        await service.withdraw(db, appointment.id, request.match_info["request"], by=person.id, now=now)
    return web.json_response({})


@routes.post("/booth/appointments/{appointment}/all-evidence", name="booth.all_evidence")
@booth_staff
async def enter_store(request: web.Request) -> web.StreamResponse:
    """Let who may open this appointment into the evidence store, to all evidence of its incident."""
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await access.access_appointment(
            db, request[staff_access.STAFF], request.match_info["appointment"]
        )
        incident = await incidents.get_incident(db, appointment.incident_id)
    return await staff_pages.let_into(request, incident.reference, home="/booth")


@routes.get(r"/booth/evidence/{object:[0-9a-f]{32}}/content", name="booth.evidence_content", allow_head=False)
@booth_staff
async def content(request: web.Request) -> web.StreamResponse:
    """Hand out a file as it was received, to be saved and never run; recorded here and in the store's ledger."""
    item = await _access_item(request)
    await _record(request, item, "read")
    return await _send(request, item)


@routes.get(r"/booth/evidence/{object:[0-9a-f]{32}}/facts", name="booth.evidence_facts", allow_head=False)
@booth_staff
async def facts(request: web.Request) -> web.Response:
    """Say what the file says of itself, and whether there is a picture of it; `waiting` until the store looked."""
    item = await _access_item(request)
    with _told():
        media = await request.app[STORE].client.get_media(item.id, purpose=_purpose(request))
    if media["state"] != "waiting":
        await _record(request, item, "previewed")
    return web.json_response(media)


@routes.get(r"/booth/evidence/{object:[0-9a-f]{32}}/preview", name="booth.evidence_preview", allow_head=False)
@booth_staff
async def preview(request: web.Request) -> web.Response:
    """Hand out the store's small picture of a file for the page to show; where there is none, not found."""
    item = await _access_item(request)
    with _told():
        found = await request.app[STORE].client.get_preview(item.id, purpose=_purpose(request))
    await _record(request, item, "previewed")
    response = web.Response(body=found.data, content_type=found.media_type)
    _set_safe(response)
    return response


async def _access_item(request: web.Request) -> Item:
    """Return a file that this officer may open. Raises NotFound, NotYours, SetAside."""
    person, item_id = request[staff_access.STAFF], request.match_info["object"]
    async with request.app[app_keys.DATABASE].read() as db:
        appointment_id = await service.find_appointment_of(db, item_id)
        await access.access_appointment(db, person, appointment_id)
        item = await service.find_item(db, appointment_id, item_id)
    if item.state is ItemState.QUARANTINED:
        raise SetAside
    if item.state is not ItemState.RECEIVED:
        raise NotFound
    return item


async def _record(request: web.Request, item: Item, why: str) -> None:
    person, now = request[staff_access.STAFF], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        appointment_id = await service.find_appointment_of(db, item.id)
        await service.record_read(db, appointment_id, item, by=person.id, why=why, now=now)


@contextmanager
def _told() -> Iterator[None]:
    """Say in this program's words what the store refuses."""
    try:
        yield
    except (NotStored, NoPreviewHere):
        raise NotFound from None
    except NotScreened:
        raise BeingScreened from None
    except Quarantined:
        raise SetAside from None
    except RangeRefused:
        raise NoSuchRange from None
    except (StoreError, OSError) as problem:
        raise StoreDown(type(problem).__name__) from None


def _purpose(request: web.Request) -> str:
    return f"booth, staff:{request[staff_access.STAFF].id}"


def _set_safe(response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-store"


async def _send(request: web.Request, item: Item) -> web.StreamResponse:
    response: web.StreamResponse | None = None
    try:
        async with request.app[STORE].client.open_content(
            item.id, byte_range=forwarder.passed(request, ["Range"]).get("Range"), purpose=_purpose(request)
        ) as found:
            response = web.StreamResponse(status=found.status)
            for name in CONTENT_HEADERS:
                if name in found.headers:
                    response.headers[name] = found.headers[name]
            response.headers["Content-Disposition"] = _attachment(found.headers.get("Content-Disposition", ""))
            _set_safe(response)
            middleware.set_headers(request, response)
            await response.prepare(request)
            async for piece in found.pieces:
                await response.write(piece)
            await response.write_eof()
            return response
    except (StoreError, OSError) as problem:
        if response is not None and response.prepared:
            request.protocol.force_close()  # cut short, never wrong bytes that look whole
            return response
        with _told():
            raise problem
        raise


def _attachment(given: str) -> str:
    return given if given.startswith("attachment") else "attachment"
