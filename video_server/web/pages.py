"""Pages: one Jinja environment with GOV.UK components, the request's language, nonce and the force's brand."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from babel import dates
from markupsafe import Markup

from video_server.core import keys
from video_server.core.errors import Refusal
from video_server.core.force import Force
from video_server.web import i18n

ROOT = Path(__file__).parent.parent.parent
NONCE = web.RequestKey("nonce", str)
STAFF_BADGE: web.RequestKey[Mapping[str, Any]] = web.RequestKey("staff_badge")
"""What the frame shows of who is signed in: name, collar_number, may_desk, may_booth, may_evidence."""
ENVIRONMENT = web.AppKey("environment", jinja2.Environment)


class _StrictNames(jinja2.ChainableUndefined):
    """A misspelt name is an error; a missing *member* is empty, as the GOV.UK macros expect of their `params`."""

    def _refuse(self, *_args: object, **_named: object) -> Any:
        if self._undefined_obj is jinja2.utils.missing and self._undefined_name != "caller":
            self._fail_with_undefined_error()
        return ""

    def __str__(self) -> str:
        return str(self._refuse())

    def __html__(self) -> str:
        return str(self)

    def __bool__(self) -> bool:
        return bool(self._refuse())

    def __iter__(self) -> Any:
        return iter(self._refuse())

    def __len__(self) -> int:
        return len(self._refuse())


def make_environment(force: Force, *, demo: bool) -> jinja2.Environment:
    """Make the template environment, shared by every request of a process."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.FileSystemLoader(ROOT / "templates"),
                jinja2.PrefixLoader({"govuk_frontend_jinja": jinja2.PackageLoader("govuk_frontend_jinja")}),
            ]
        ),
        autoescape=True,
        undefined=_StrictNames,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(
        force=force,
        demo=demo,
        asset=asset,
        languages=i18n.LANGUAGES,
        undefined=_StrictNames(obj=None, name="undefined"),  # the macros compare with this name
    )
    environment.filters.update(
        day=lambda at: say_day(at, force),
        clock=lambda at: say_clock(at, force),
        day_and_clock=lambda at: say_day_and_clock(at, force),
        data_json=data_json,
        error_list=lambda problems: [{"text": text, "href": f"#{field}"} for field, text in problems.items()],
    )
    return environment


def render(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Render a template with plain values. The page's language, nonce and links come with every page."""
    return web.Response(
        text=render_text(request, template, **values), status=status, content_type="text/html", charset="utf-8"
    )


def render_text(request: web.Request, template: str, **values: Any) -> str:
    """Render a template to a string, for pages and for fragments sent over a socket."""
    return render_apart(
        request.app, template, path=request.path, nonce=request.get(NONCE, ""), staff=request.get(STAFF_BADGE), **values
    )


def render_apart(
    app: web.Application,
    template: str,
    *,
    path: str,
    nonce: str,
    staff: Mapping[str, Any] | None = None,
    **values: Any,
) -> str:
    """Render a template for somebody of whose request nothing more than this is known."""
    page = app[ENVIRONMENT].get_template(template)
    return page.render(
        lang=i18n.current(),
        nonce=nonce,
        path=path,
        staff=staff,
        url=lambda route, **parts: str(app.router[route].url_for(**parts)),
        **values,
    )


def render_problem(
    request: web.Request, *, code: str, status: int, public: str | None = None, reference: str = ""
) -> web.Response:
    """Tell a person or a program what went wrong and what to do next."""
    said = (
        i18n.gettext(public)
        if public
        else i18n.gettext("Sorry, something went wrong on our side. Try again in a minute.")
    )
    if wants_json(request):
        body = {"error": code, "message": said} | ({"reference": reference} if reference else {})
        return web.json_response(body, status=status)
    return render(request, "problem.html", status=status, code=code, said=said, reference=reference)


def say(refusal: Refusal) -> str:
    """Return a refusal's public sentence in the language in use."""
    return i18n.gettext(refusal.public)


def wants_json(request: web.Request) -> bool:
    """Say whether the caller is a program: it asks for JSON, or sends it."""
    return "application/json" in request.headers.get("Accept", "") or request.content_type == "application/json"


def see_other(request: web.Request, route: str, **parts: str) -> web.HTTPSeeOther:
    """Return the redirect after a POST, to raise."""
    return web.HTTPSeeOther(request.app.router[route].url_for(**parts))


def data_json(value: Mapping[str, Any] | list[Any]) -> Markup:
    """Write a value as JSON that is safe inside `<script type="application/json">`."""
    text = json.dumps(value, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 (escaped)


def say_clock(at: datetime, force: Force) -> str:
    """Write a time of day as people say it: 10:45am, 2pm; Welsh uses the same digits with yb and yp."""
    local = at.astimezone(force.timezone)
    halves = ("yb", "yp") if i18n.current() == "cy" else ("am", "pm")
    hour = local.hour % 12 or 12
    minutes = f":{local.minute:02}" if local.minute else ""
    return f"{hour}{minutes}{halves[local.hour >= 12]}"


def say_day(at: datetime, force: Force) -> str:
    """Write a day in full: Monday 23 November 2026."""
    return dates.format_date(at.astimezone(force.timezone), "EEEE d MMMM y", locale=i18n.current())


def say_day_and_clock(at: datetime, force: Force) -> str:
    """Write an instant in full: Monday 23 November 2026 at 2pm."""
    return i18n.gettext("%(day)s at %(time)s") % {"day": say_day(at, force), "time": say_clock(at, force)}


@cache
def build() -> str:
    """Return a digest of everything under static/, so that each build has its own addresses and caches never mix."""
    files = sorted(file for file in (ROOT / "static").rglob("*") if file.is_file())
    content = b"".join(str(file.relative_to(ROOT)).encode() + file.read_bytes() for file in files)
    return keys.digest_bytes(content)[:12]


def asset(path: str) -> str:
    """Return the address of a file under static/."""
    return f"/static/{build()}/{path}"
