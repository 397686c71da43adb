"""The store's own word: signed events, answered from what the store says when it is asked back."""

from datetime import datetime

from aiohttp import web

from evidence_store.client import SIGNATURE_HEADER, Event, EventNotGenuine
from evidence_store.errors import NotFound as NotStored
from evidence_store.errors import StoreError
from video_server.accounts import access as staff_access
from video_server.accounts.model import Role
from video_server.core.database import Connection
from video_server.core.errors import N_, Forbidden
from video_server.core.log import get_logger
from video_server.evidence import forwarder, service
from video_server.evidence import pages as staff_pages
from video_server.evidence.link import STORE, StoreDown
from video_server.web import app_keys, forms, guards, middleware, pages

log = get_logger(__name__)
_events, _alarms = web.RouteTableDef(), web.RouteTableDef()
MAX_EVENT_BYTES = 8_192


class NotGenuine(Forbidden):
    code = "event_not_genuine"
    public = N_("This message does not come from the evidence store.")


@_events.post("/evidence-events", name="evidence.events")
@guards.machine
async def take_event(request: web.Request) -> web.Response:
    """Take an event of the evidence store, signed with the shared key; the same one again changes nothing."""
    if (request.content_length or 0) > MAX_EVENT_BYTES:
        raise middleware.TooLarge
    async with forms.in_time():
        body = await request.content.read(MAX_EVENT_BYTES + 1)
        while len(body) <= MAX_EVENT_BYTES and (more := await request.content.read(MAX_EVENT_BYTES + 1)):
            body += more
    if len(body) > MAX_EVENT_BYTES:
        raise middleware.TooLarge
    try:
        event = request.app[STORE].verify_event(body, request.headers.get(SIGNATURE_HEADER, ""))
    except EventNotGenuine:
        raise NotGenuine from None
    if event.type in _NOTES:
        async with request.app[app_keys.DATABASE].begin() as db:
            changed = await _NOTES[event.type](db, event, now=request.app[app_keys.CLOCK]())
    else:
        changed = await settle(request.app, event.object)
    log.info("evidence_event", event_id=event.id, type=event.type, object=event.object, changed=changed)
    return web.json_response({"taken": event.id})


async def _note_refused(db: Connection, event: Event, *, now: datetime) -> bool:
    return await service.record_refused(db, event.object, now=now)


_NOTES = {"refused": _note_refused, "break-glass": service.record_alarm}
"""What is written down as the event says it; everything else is asked back."""


@_alarms.post("/alarms/{alarm:[0-9a-f]{32}}/seen", name="evidence.see_alarm")
@staff_access.staff(Role.SUPERVISOR)
async def see_alarm(request: web.Request) -> web.Response:
    """Note that this supervisor has seen an alarm of the evidence store; 303 back to the page it stood on."""
    form = await forms.read_values(request)
    by, now = request[staff_access.STAFF].id, request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        await service.see_alarm(db, request.match_info["alarm"], by=by, now=now)
    raise pages.see_other(request, "desk.home" if form.get("back") == "desk" else "booth.diary")


async def settle(app: web.Application, item_id: str) -> bool:
    """Ask the store what became of a file and write that down; False when there was nothing new.

    Raises StoreDown when it cannot be asked, or doubts its own answer: whoever told us tells us again.
    """
    database = app[app_keys.DATABASE]
    async with database.read() as db:
        if await service.find_open_item(db, item_id) is None:
            return False
    try:
        stored = await app[STORE].client.get_metadata(item_id)
    except NotStored:
        return False
    except StoreError as problem:
        raise StoreDown(type(problem).__name__) from problem
    if stored.vouched is False:
        log.error("evidence_not_vouched_for", object=item_id)
        raise StoreDown("the store's ledger does not vouch for what it says")
    async with database.begin() as db:
        return await service.record_stored(db, stored, now=app[app_keys.CLOCK]())


routes: list[web.AbstractRouteDef] = [*staff_pages.routes, *forwarder.routes, *_events, *_alarms]
