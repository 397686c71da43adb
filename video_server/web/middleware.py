"""Around every request: language, cross-site check, security headers, refusals told as a page or JSON."""

import structlog
from aiohttp import web

from video_server.core import keys
from video_server.core.errors import N_, Forbidden, NotFound, Refusal, TooMany
from video_server.core.log import get_logger
from video_server.web import app_keys, forms, i18n, origins, pages
from video_server.web.guards import Handler, guard_of

log = get_logger(__name__)


class CrossSite(Forbidden):
    code = "cross_site"
    public = N_("This came from another site and was not done. Open the page again and try once more.")


class TooLarge(Refusal):
    code = "too_large"
    status = 413
    public = N_("That was too large. Send less at once.")


_HTTP_REFUSALS: dict[int, type[Refusal]] = {403: Forbidden, 404: NotFound, 405: NotFound, 413: TooLarge, 429: TooMany}


@web.middleware
async def headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make the nonce before, set the headers after; sockets and streams have sent theirs already."""
    request[pages.NONCE] = keys.new_secret()
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        set_headers(request, redirect)
        raise
    if not response.prepared:
        set_headers(request, response)
    return response


def own_origins(request: web.Request) -> frozenset[origins.Origin]:
    """Return the origins of our own pages, as this request sees them."""
    return origins.own_origins(
        public_url=request.app[app_keys.PUBLIC_URL],
        demo=request.app[app_keys.DEMO],
        scheme=request.scheme,
        host=request.host,
    )


def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the house's headers where a handler has not set its own."""
    write_headers(
        response, own_origins(request), nonce=request[pages.NONCE], public_url=request.app[app_keys.PUBLIC_URL]
    )


def write_headers(response: web.StreamResponse, own: frozenset[origins.Origin], *, nonce: str, public_url: str) -> None:
    """Set the house's headers on an answer to whoever is on one of our own origins."""
    sockets = {origins.write(origin).replace("http", "ws", 1) for origin in own}
    policy = (
        "default-src 'none'; "
        f"script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data: blob:; "
        f"media-src 'self' blob:; font-src 'self'; worker-src 'self'; connect-src 'self' {' '.join(sorted(sockets))}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
    )
    for name, value in {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
        "X-Robots-Tag": "noindex, nofollow",
        "Cache-Control": "no-store",
    }.items():
        response.headers.setdefault(name, value)
    if public_url.startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")


async def remove_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of what serves this (signal `on_response_prepare`)."""
    response.headers.popall("Server", None)
    response.headers["Server"] = ""


@web.middleware
async def language(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Choose the language: the page's own switch, else the cookie, else what the browser asks for."""
    asked = request.query.get("lang", "")
    chosen = i18n.choose(asked, request.cookies.get("lang"), request.headers.get("Accept-Language"))
    with i18n.use(chosen):
        try:
            response = await handler(request)
        except web.HTTPException as redirect:
            _keep_language(redirect, asked)
            raise
    if not response.prepared:
        _keep_language(response, asked)
    return response


def _keep_language(response: web.StreamResponse, asked: str) -> None:
    if asked in i18n.LANGUAGES:
        response.set_cookie("lang", asked, path="/", secure=True, httponly=True, samesite="Lax", max_age=31_536_000)


@web.middleware
async def cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse state-changing requests and sockets that other sites started."""
    machine = guard_of(request.match_info.handler) == "machine"
    own = own_origins(request)
    is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
    if is_socket and not origins.is_own_origin(request.headers.get("Origin"), own=own):
        raise CrossSite("websocket")
    if not machine and not origins.may_change_state(request.method, request.headers, own=own):
        raise CrossSite(request.method)
    return await handler(request)


@web.middleware
async def readable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse an address with what no text holds: no handler has to think of it. Raises NotFound, NotText.

    But a link's token is parsed by who takes it: whatever is none gets one and the same neutral page.
    """
    if "token" not in request.match_info and not forms.is_text(request.path):
        raise NotFound
    if not all(map(forms.is_text, request.query.values())):
        raise forms.NotText
    return await handler(request)


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a refusal into words, and a fault into an apology with a reference that stands in the log."""
    with structlog.contextvars.bound_contextvars(request=keys.new_mark()):
        try:
            return await handler(request)
        except Refusal as refusal:
            return _answer(request, refusal)
        except web.HTTPException as problem:
            kind = _HTTP_REFUSALS.get(problem.status)
            if kind is None and problem.status < 400:
                raise
            answer = _answer(request, kind() if kind else Refusal(), status=problem.status)
            if "Allow" in problem.headers:  # RFC 9110, 15.5.6: a 405 names what is allowed
                answer.headers["Allow"] = problem.headers["Allow"]
            return answer
        except ConnectionResetError:
            raise  # the other side has left; there is nobody to answer
        except Exception:
            reference = keys.new_mark()
            log.exception("request_failed", route=_route_of(request), fault=reference)
            return pages.render_problem(request, code="fault", reference=reference, status=500)


def _answer(request: web.Request, refusal: Refusal, *, status: int | None = None) -> web.StreamResponse:
    status = status or refusal.status
    log.info("refused", code=refusal.code, status=status, route=_route_of(request))
    return pages.render_problem(request, code=refusal.code, public=refusal.public, status=status)


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else '-'}"


MIDDLEWARES = (headers, language, refusals, readable, cross_site)
