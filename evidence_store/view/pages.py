"""Pages: one Jinja environment, the headers of every page, files that pages fetch, refusals told to a person."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.config import Settings
from evidence_store.errors import EntryNeeded, NotFound
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.view import forms, guards, i18n, session, words
from evidence_store.view.model import IDLE

routes = web.RouteTableDef()
ENVIRONMENT = web.AppKey("view_environment", jinja2.Environment)
HOME = "/evidence/"
_PAGES = "/evidence/view/"
_HERE = Path(__file__).parent
_FILES = {
    "view.css": (_HERE / "static/dist/view.css", "text/css"),
    "view.js": (_HERE / "static/view.js", "text/javascript"),
    "icon.svg": (_HERE / "static/icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # under no-referrer Chromium posts `Origin: null`
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}


def make_environment(settings: Settings) -> jinja2.Environment:
    """Make the template environment of one process."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
    zone = ZoneInfo(settings.timezone)
    environment.globals.update(
        force_name=settings.force_name,
        asset=asset,
        states=words.STATES,
        media=words.MEDIA,
        client_digests=words.CLIENT_DIGESTS,
    )
    environment.filters.update(
        moment=lambda at: say_moment(at, zone),
        exactly=lambda at: say_moment(at, zone, seconds=True),
        clock=lambda at: say_clock(at, zone),
        time_of_day=lambda at: say_clock(at, zone, seconds=False),
        day=lambda at: words.say_day(at, zone),
        iso=lambda at: at.astimezone(zone).isoformat(timespec="seconds"),
        size=say_size,
        groups=lambda digest: [digest[n : n + 8] for n in range(0, len(digest), 8)],
        person=words.say_actor,
        media=words.say_media,
        rule=words.say_class,
        verdict=lambda screening: words.say_verdict(screening.verdict, screening.reason),
    )
    return environment


def render(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Render a page with plain values; who is in, and their form key, come with every page."""
    person = request.get(guards.PERSON)
    scopes = request[app_keys.TOKEN].scopes if person else frozenset()
    if app_keys.GLASS in request:  # who sees it by a broken glass looks, and does nothing else
        scopes &= {Scope.READ}
    page = request.app[ENVIRONMENT].get_template(template).render(
        person=person_of(request), leaving=leaving_of(request),
        may={scope.name.lower(): scope in scopes for scope in Scope},
        glass=request.get(app_keys.GLASS), is_doubted=request.get(app_keys.VOUCHED) is False,
        chosen_count=request.get(guards.CHOSEN, 0),
        form_key=session.form_key(request), path=request.path,
        url=lambda route, query=None, **parts: url(request, route, query, **parts), **values,
    )  # fmt: skip
    return web.Response(text=page, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)


def ask(request: web.Request, template: str, filled: forms.Filled[Any], **values: Any) -> web.Response:
    """Render a form's page: what was typed, and what is wrong with it."""
    status = 422 if filled.problems else 200
    return render(request, template, status=status, typed=filled.typed, problems=filled.problems, **values)


def person_of(request: web.Request) -> dict[str, str] | None:
    """Return what the frame shows of who is in; None on pages for those who are not."""
    person = request.get(guards.PERSON)
    if person is None:
        return None
    return {"title": person.title or person.person, "home": person.home, "incident": person.incident or ""}


def leaving_of(request: web.Request) -> dict[str, Any] | None:
    """Return when who is in will be out: at the latest, and after how many minutes of silence; None for nobody."""
    person = request.get(guards.PERSON)
    return {"ends_at": person.ends_at, "minutes": IDLE // timedelta(minutes=1)} if person else None


def url(request: web.Request, route: str, query: dict[str, str] | None = None, **parts: str) -> str:
    """Return the path of a page."""
    path = str(request.app.router[route].url_for(**parts))
    return f"{path}?{urlencode(query)}" if query else path


def see(request: web.Request, route: str, *, done: str = "", **parts: str) -> web.Response:
    """Return the redirect after a POST; `done` names what the next page says was done."""
    where = url(request, route, {"done": done} if done else None, **parts)
    return web.Response(status=303, headers={"Location": where, "Cache-Control": "no-store"})


def see_search(request: web.Request, *, incident: str, done: str) -> web.Response:
    """Return the redirect after a POST to all that there is of one incident."""
    where = url(request, "view.search", {"search": "yes", "incident": incident, "done": done})
    return web.Response(status=303, headers={"Location": where, "Cache-Control": "no-store"})


def done(request: web.Request) -> str:
    """Return the sentence about what was just done, if anything."""
    return words.DONE.get(request.query.get("done", ""), "")


def is_page(request: web.Request) -> bool:
    """Say whether a person looks at this address, to whom a refusal is told as a page."""
    return request.path == HOME or request.path.startswith(_PAGES)


def tell(request: web.Request, status: int, code: str, title: str, detail: str) -> web.Response:
    """Tell a person what was refused and what to do next."""
    if code == EntryNeeded.code:
        back = request.path_qs if request.method == "GET" else HOME
        return render(request, "closed.html", status=status, back=back, lost=request.method != "GET",
                      words=request.get(guards.LOST, []))  # fmt: skip
    said, glass = words.REFUSALS.get(code) or title, None
    if code == NotFound.code and (person := request.get(guards.PERSON)) and person.incident:
        said, glass = words.NOT_YOURS, _way_in(request)
    return render(request, "problem.html", status=status, code=code, said=said, detail=detail, way_in=glass)


def _way_in(request: web.Request) -> str:
    """Return where somebody of another incident may break the glass over what they asked for; empty where they may not.

    That says nothing of what there is: it is the same for what never existed.
    """
    asked = {"object": request.match_info.get("id", ""), "incident": request.query.get("incident", "")}
    if Scope.BREAK_GLASS not in request[app_keys.TOKEN].scopes or request.method != "GET":
        return ""
    given = next(((name, value) for name, value in asked.items() if value), None)
    return url(request, "view.glass", dict([given])) if given else ""


@routes.get("/evidence/view/files/{build:[0-9a-f]{12}}/{name}", name="view.file", allow_head=False)
@access.public
async def file(request: web.Request) -> web.StreamResponse:
    """Send a page's style, script or icon; its address holds a digest, so it may be kept for a year."""
    found = _FILES.get(request.match_info["name"])
    if found is None or not found[0].is_file():
        raise NotFound
    headers = {"Cache-Control": "no-cache", "Content-Type": f"{found[1]}; charset=utf-8"}
    if request.match_info["build"] == build():
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return web.Response(body=found[0].read_bytes(), headers=headers)


@cache
def build() -> str:
    """Return a digest of all files that pages fetch, so that each version has addresses of its own."""
    there = [path.read_bytes() for path, _ in _FILES.values() if path.is_file()]
    return signing.sha256_hex(b"\n".join(there))[:12]


def asset(name: str) -> str:
    """Return the address of a file that pages fetch."""
    return f"/evidence/view/files/{build()}/{name}"


def say_moment(at: datetime, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """Write an instant: 2 March 2026 at 10:00 GMT, by the force's clock."""
    return i18n.gettext("%(day)s at %(time)s") % {
        "day": words.say_day(at, zone),
        "time": say_clock(at, zone, seconds=seconds),
    }


def say_clock(at: datetime, zone: ZoneInfo, *, seconds: bool = True) -> str:
    """Write the time of day with its zone: one hour in October comes twice, and a court abroad has another clock."""
    return at.astimezone(zone).strftime("%H:%M:%S %Z" if seconds else "%H:%M %Z")


def say_size(size_bytes: int) -> str:
    """Write a size as people do: 640 bytes, 5.8 MB."""
    size, units = float(size_bytes), ["bytes", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
