"""The way in and the way out: the link, and "Exit this page". GET never changes anything: bots fetch links."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from video_server.appointments import service as appointments
from video_server.appointments.model import room_opens_at
from video_server.calls import arriving, devices
from video_server.calls import service as calls
from video_server.calls.model import Role
from video_server.core.errors import Refusal, TooMany
from video_server.core.log import get_logger
from video_server.incidents import service as incidents
from video_server.phone.steps import parse_token
from video_server.web import app_keys, guards, i18n, limits, pages, sessions

log = get_logger(__name__)

routes = web.RouteTableDef()

_WINDOW = timedelta(minutes=10)
_UNKNOWN_LINKS = 40  # a block of flats behind one address, and every one of them mistypes
_TRADES = 20


@routes.get("/")
@guards.public
async def show_root(request: web.Request) -> web.Response:
    """Say that this is no link: whoever lost the end of theirs, or found the host in a history, learns nothing more."""
    return pages.render(request, "phone/closed.html", why="unknown", status=404)


@routes.get("/j/{token:.*}", name="phone.link")
@guards.public
async def show_link(request: web.Request) -> web.Response:
    """Show a neutral page with one button; nothing of the appointment, and nothing changes."""
    state = await _link_state(request)
    if state in {"open", "early"}:
        return pages.render(request, "phone/link.html")
    return await no_link(request, state)


@routes.post("/j/{token:.*}")
@guards.public
async def trade_link(request: web.Request) -> web.Response:
    """Trade the link for a session of its own; 303 to the appointment, 429 where as many as may have it open now."""
    token = parse_token(request.match_info["token"])
    state = await _link_state(request)
    if token is None or state not in {"open", "early"}:
        return await no_link(request, state)
    await limits.limit(request, "trade", f"{limits.remote(request)} {token}", most=_TRADES, window=_WINDOW)
    now, force = request.app[app_keys.CLOCK](), request.app[app_keys.FORCE]
    try:
        async with request.app[app_keys.DATABASE].begin() as db:
            session, secret, appointment = await appointments.trade(
                db, token, now=now, force=force, keys=request.app[app_keys.KEYS]
            )
            if now >= room_opens_at(appointment, force):
                await arriving.arrive(
                    db, appointment, session_id=session.id, role=Role.VICTIM, device=describe_device(request), now=now
                )
            person = await incidents.get_person(db, appointment.person_id)
    except TooMany as refusal:
        return pages.render(request, "phone/closed.html", why="crowded", status=refusal.status)
    except Refusal:  # cancelled or over since we looked
        return await no_link(request, await _link_state(request))
    response = pages.see_other(request, "phone.show")
    sessions.set_cookie(response, "phone", secret)
    if "lang" not in request.cookies:  # the text was in this person's language: the pages go on in it
        response.set_cookie("lang", i18n.choose(person.language), path="/", secure=True, httponly=True, samesite="Lax")
    raise response


async def _link_state(request: web.Request) -> str:
    token = parse_token(request.match_info["token"])
    if token is None:
        return "unknown"
    async with request.app[app_keys.DATABASE].read() as db:
        found = await appointments.find_link(
            db,
            token,
            now=request.app[app_keys.CLOCK](),
            force=request.app[app_keys.FORCE],
            keys=request.app[app_keys.KEYS],
        )
    return str(found.state)


async def no_link(request: web.Request, state: str) -> web.Response:
    """Say that a link cannot be used: unknown and mangled alike; guessing is counted by address, in memory."""
    if state not in {"cancelled", "over"}:
        limits.limit_here(request, "unknown-link", limits.remote(request), most=_UNKNOWN_LINKS, window=_WINDOW)
        return pages.render(request, "phone/closed.html", why="unknown", status=404)
    return pages.render(request, "phone/closed.html", why=state, status=410)


@routes.post("/phone/exit", name="phone.exit")
@guards.public
async def exit_page(request: web.Request) -> web.Response:
    """Leave at once: end the session, note that it was on purpose, and go to the neutral site whatever happens."""
    return await leave(request, "phone", calls.exit_on_purpose)


@routes.get("/phone/exit")
@guards.public
async def show_exit(request: web.Request) -> web.Response:
    """Lead away whoever comes back to this page; nothing is recorded."""
    return lead_away(request)


async def leave(request: web.Request, kind: str, note: Callable[..., Awaitable[None]]) -> web.Response:
    """End a session of this kind by `note`, and lead away whatever happens."""
    try:
        session = await sessions.find_session(request, kind)
        if session is not None:
            async with request.app[app_keys.DATABASE].begin() as db:
                await note(db, session.subject, session_id=session.id, now=request.app[app_keys.CLOCK]())
    except Exception:  # whoever must leave leaves, even when the database is down
        log.exception("exit_not_recorded")
    response = lead_away(request)
    sessions.clear_cookie(response, kind)
    return response


def lead_away(request: web.Request) -> web.Response:
    """Go to the neutral site by a page that refreshes: `form-action 'self'` blocks a redirect in Chromium."""
    response = pages.render(request, "phone/away.html")
    response.headers["Refresh"] = f"0; url={request.app[app_keys.FORCE].neutral_site}"
    return response


def describe_device(request: web.Request) -> str:
    """Return a few words for the browser at hand."""
    return devices.describe(request.headers.get("User-Agent", "")[:400])
