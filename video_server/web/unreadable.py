"""The answer to what cannot be read as a request at all: a page in our words, or JSON for a program.

Browsers come to it when an address or the cookies of a host have grown beyond 8,190 bytes. Of such a request only the
beginning of what came last is known, so it is read leniently and for the words alone: who asked for a page of staff's
is told the number to ring; everybody else may be a victim who is watched, and their page names nobody.
"""

import re

from aiohttp import web

from evidence_store.unreadable import status_of
from video_server.core import keys
from video_server.core.errors import N_
from video_server.core.log import get_logger
from video_server.web import app_keys, i18n, middleware, origins, pages

log = get_logger(__name__)
_SAYS = {
    400: N_("What your browser sent could not be read. Close this page and open it again, or use another browser."),
    431: N_(
        "Your browser sent more than can be read here. Close this page and open it again in a new private window, or "
        "use another browser."
    ),
    500: N_("Sorry, something went wrong on our side. Try again in a minute."),
}
_STAFFS = re.compile(rb"[A-Z]{1,10} (/(?:booth|desk|sign-in|evidence)\b[!-~]*)")
_NEUTRAL = "/phone"


def tell(app: web.Application, problem: BaseException | None, seen: bytes) -> web.Response:
    """Return the answer; its asker is never logged, nor what they sent."""
    status, code = status_of(problem)
    reference = ""
    if status == 500:
        reference = keys.new_mark()
        log.error("request_failed", fault=reference, exc_info=problem)
    else:
        log.info("request_not_read", problem=type(problem).__name__, status=status)
    with i18n.use(i18n.choose(_header(seen, b"Accept-Language"))):
        return _write(app, status, code, _header(seen, b"Accept"), path_of(seen), reference)


def path_of(seen: bytes) -> str:
    """Return the path when it is plainly one of staff's; otherwise one whose pages are neutral."""
    found = _STAFFS.match(seen)
    return found[1].decode("ascii") if found else _NEUTRAL


def _write(app: web.Application, status: int, code: str, accept: str, path: str, reference: str) -> web.Response:
    said, nonce, public_url = i18n.gettext(_SAYS[status]), keys.new_secret(), app[app_keys.PUBLIC_URL]
    if "application/json" in accept:
        body = {"error": code, "message": said} | ({"reference": reference} if reference else {})
        response = web.json_response(body, status=status)
    else:
        text = pages.render_apart(
            app, "problem.html", path=path, nonce=nonce, code=code, said=said, reference=reference
        )
        response = web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
    own = origins.own_origins(public_url=public_url, demo=False, scheme="", host="")
    middleware.write_headers(response, own, nonce=nonce, public_url=public_url)
    response.headers["Server"] = ""  # or aiohttp would tell its version
    return response


def _header(seen: bytes, name: bytes) -> str:
    found = re.search(rb"\r\n" + name + rb":[ \t]*([ -~]{0,300})", seen, re.IGNORECASE)
    return found[1].decode("ascii") if found else ""
