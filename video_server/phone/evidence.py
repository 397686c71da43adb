"""The person's side of evidence: be allowed to send, tell how far it is, say that it is there. JSON, in the call."""

from typing import Any

from aiohttp import web
from pydantic import Field

from video_server.evidence import service
from video_server.evidence.link import STORE
from video_server.evidence.views import settle
from video_server.phone import access
from video_server.web import app_keys
from video_server.web.bodies import Body, Empty, read_body

routes = web.RouteTableDef()

_LARGEST = 1 << 53  # beyond it a page's numbers are not exact
_ITEM = r"/phone/evidence/items/{item:[0-9a-f]{32}}"


class Progress(Body):
    sent: int = Field(ge=0, le=_LARGEST)
    total: int = Field(ge=1, le=_LARGEST)


@routes.post(r"/phone/evidence/requests/{request:[0-9a-f]{32}}/grant", name="phone.evidence_grant")
@access.victim
async def grant(request: web.Request) -> web.Response:
    """Allow one file to be sent for a request; the grant is for the evidence store and lasts minutes."""
    await read_body(request, Empty)
    async with request.app[app_keys.DATABASE].begin() as db:
        signed, item = await service.grant_for(
            db, request.app[STORE], request_id=request.match_info["request"], **_by(request)
        )
    return web.json_response({"grant": signed, "item": item.id})


@routes.post(_ITEM + "/grant", name="phone.evidence_renew")
@access.victim
async def renew(request: web.Request) -> web.Response:
    """Allow a file that was begun to go on."""
    await read_body(request, Empty)
    async with request.app[app_keys.DATABASE].begin() as db:
        signed = await service.renew_for(db, request.app[STORE], **_by(request, request.match_info["item"]))
    return web.json_response({"grant": signed, "item": request.match_info["item"]})


@routes.post(_ITEM + "/progress", name="phone.evidence_progress")
@access.victim
async def progress(request: web.Request) -> web.Response:
    """Note how far the phone is, for the officer to see."""
    body = await read_body(request, Progress)
    async with request.app[app_keys.DATABASE].begin() as db:
        await service.tell_progress(
            db,
            sent_bytes=min(body.sent, body.total),
            total_bytes=body.total,
            **_by(request, request.match_info["item"]),
        )
    return web.json_response({})


@routes.post(_ITEM + "/cancel", name="phone.evidence_cancel")
@access.victim
async def cancel(request: web.Request) -> web.Response:
    """Note that the person stopped sending this file."""
    await read_body(request, Empty)
    async with request.app[app_keys.DATABASE].begin() as db:
        await service.cancel(db, **_by(request, request.match_info["item"]))
    return web.json_response({})


@routes.post(_ITEM + "/done", name="phone.evidence_done")
@access.victim
async def done(request: web.Request) -> web.Response:
    """Ask the store what became of a file, so that the booth need not wait for the store's own word."""
    await read_body(request, Empty)
    async with request.app[app_keys.DATABASE].read() as db:
        by = _by(request, request.match_info["item"])
        by.pop("now")
        await service.own_item(db, **by)
    await settle(request.app, request.match_info["item"])
    async with request.app[app_keys.DATABASE].read() as db:
        item = await service.own_item(db, **by)
    return web.json_response({"state": item.state.value})


def _by(request: web.Request, item_id: str | None = None) -> dict[str, Any]:
    victim = request[access.VICTIM]
    who = {"appointment_id": victim.appointment.id, "session_id": victim.session_id}
    return {**who, **({"item_id": item_id} if item_id else {}), "now": request.app[app_keys.CLOCK]()}
