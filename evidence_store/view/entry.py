"""Coming in and going out."""

import re

from aiohttp import web

from evidence_store import app_keys
from evidence_store.view import guards, pages, session
from evidence_store.view.pages import HOME

routes = web.RouteTableDef()
_NEXT = re.compile(r"/evidence/(?:view/[a-z0-9/]{1,120})?(?:\?[A-Za-z0-9=&%._~+-]{0,1500})?")


@routes.post("/evidence/view/enter", name="view.enter")
@guards.ticket
async def enter(request: web.Request) -> web.Response:
    """Trade a ticket for a session; 303 to where the person was going."""
    guards.check_site(request)
    form = await guards.read_form(request)
    store = request.app[app_keys.STORE]
    _, cookie = await session.enter(store, form.get("ticket", ""), old_cookie=request.cookies.get(session.COOKIE, ""))
    where = form.get("next", "")
    response = web.Response(status=303, headers={"Location": where if _NEXT.fullmatch(where) else HOME})
    session.set_cookie(response, cookie)
    return response


@routes.post("/evidence/view/leave", name="view.leave")
@guards.person()
async def leave(request: web.Request) -> web.Response:
    """End the visit."""
    found = request[guards.PERSON]
    await session.leave(request.app[app_keys.STORE], found)
    response = web.Response(status=303, headers={"Location": found.home or HOME})
    session.clear_cookie(response)
    return response


@routes.get("/evidence/view/stay", name="view.stay", allow_head=False)
@guards.person()
async def stay(request: web.Request) -> web.Response:
    """Note that the person is still there, as every page does."""
    return web.Response(status=204, headers=pages.HEADERS)


@routes.get("/evidence/view/keyboard", name="view.keyboard", allow_head=False)
@guards.person()
async def keyboard(request: web.Request) -> web.Response:
    """Say how to get about without a mouse."""
    return pages.render(request, "keyboard.html")
