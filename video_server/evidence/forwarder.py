"""Pass requests under /evidence/ to the store and its answers back, as streams, in constant memory.

The store knows its callers by their `Authorization` (a grant, an upload's bearer, an API token), never by our cookies:
of those only `__Secure-evidence`, its own, is passed. Headers pass by name, in both directions; `Location` becomes a
path, so that nobody learns where the store is. What a caller sends is bounded here as well as there.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from video_server.core.errors import NotFound
from video_server.core.log import get_logger
from video_server.evidence.link import STORE, StoreDown
from video_server.web import forms, guards, middleware, origins

log = get_logger(__name__)
routes = web.RouteTableDef()

COOKIE = "__Secure-evidence"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT", "DELETE")
_PATH = re.compile(r"(?:files|v1)/[A-Za-z0-9._~/-]{0,200}")
_PAGE = re.compile(r"/evidence/(?:view/[A-Za-z0-9._/-]{1,200})?")
_REQUEST_HEADERS = (
    "Accept",
    "Authorization",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Evidence-Filename",
    "Evidence-Incident",
    "Evidence-Kind",
    "Evidence-Officer",
    "Evidence-Purpose",
    "Evidence-Sha256",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Range",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "X-HTTP-Method-Override",
)
_RESPONSE_HEADERS = (
    "Accept-Encoding",
    "Accept-Ranges",
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Resource-Policy",
    "ETag",
    "Last-Modified",
    "Referrer-Policy",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Bearer",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "WWW-Authenticate",
    "X-Content-Type-Options",
)
MAX_BYTES = 20_000_000_000
MAX_SMALL_BYTES = 65_536
_OBJECTS = "/evidence/v1/objects"
_PIECE_TYPE = "application/offset+octet-stream"
_PIECE_BYTES = 1 << 18
_SILENCE_SECONDS = 75.0
"""How long a sender may say nothing, or a receiver take nothing; the store lets go of an upload a little earlier."""


class _Cut(Exception):
    """The caller's own body broke off, was too large, or came too slowly."""


@guards.machine
async def forward(request: web.Request) -> web.StreamResponse:
    """Pass a request on to the evidence store, and its answer back (tus 1.0 and the storage API)."""
    if not _PATH.fullmatch(request.match_info["tail"]) or ".." in request.match_info["tail"]:
        raise NotFound
    _check_origin(request)
    return await pass_on(request, _request_headers(request))


async def pass_on(
    request: web.Request, headers: Mapping[str, str], *, to: str = "", data: bytes | None = None
) -> web.StreamResponse:
    """Send a request to the store with these headers, and its answer back.

    to, data    where to and what, instead of the request's own path and body
    Raises      StoreDown, TooLarge
    """
    is_whole = request.method == "POST" and request.path == _OBJECTS
    is_file = is_whole or request.method in {"PATCH", "PUT"} or request.headers.get("Content-Type") == _PIECE_TYPE
    most = MAX_BYTES if is_file else MAX_SMALL_BYTES
    if (request.content_length or 0) > most:
        raise middleware.TooLarge
    has_body = data is None and request.body_exists and request.method in {"PATCH", "PUT", "POST"}
    if "Content-Encoding" in headers:  # the store refuses it by its head: nothing of it needs to be read
        has_body = False
    body = _Body(request, most) if has_body else None
    if body is None:  # a length that no body follows would make the next caller's request into that body
        headers = {name: value for name, value in headers.items() if name != "Content-Length"}
    url = URL.build(
        path=to or request.rel_url.raw_path, query_string="" if to else request.rel_url.raw_query_string, encoded=True
    )
    session = request.app[STORE].session
    response: web.StreamResponse | None = None
    try:
        async with session.request(
            request.method, url, headers=headers, data=data or (body.pieces() if body else None), allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            _copy_answer(request, answer, response)
            await response.prepare(request)
            if request.method != "HEAD":
                async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        await response.write(piece)
            await response.write_eof()
            return response
    except (aiohttp.ClientError, OSError, TimeoutError, _Cut) as problem:
        if response is not None and response.prepared:
            request.protocol.force_close()  # the receiver sees a body cut short, never one that looks whole
            return response
        if body is not None and body.fault is not None:
            raise body.fault from None
        log.warning("evidence_store_not_reached", problem=type(problem).__name__)
        raise StoreDown from None


for _method in METHODS:
    routes.route(_method, "/evidence/{tail:.*}", **({"name": "evidence.forward"} if _method == "GET" else {}))(forward)


class _Body:
    """The caller's body on its way: bounded in size and silence. `fault` says what was wrong with it, if anything."""

    def __init__(self, request: web.Request, most: int) -> None:
        self._content = request.content
        self._left = most
        self.fault: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    piece = await self._content.readany()
            except (OSError, aiohttp.ClientError, TimeoutError, web.RequestPayloadError) as problem:
                # nobody is there to be answered; what came is the store's to keep
                self.fault = ConnectionResetError(type(problem).__name__)
                raise _Cut from problem
            if not piece:
                return
            self._left -= len(piece)
            if self._left < 0:
                self.fault = middleware.TooLarge()
                raise _Cut
            yield piece


def is_page(path: str) -> bool:
    """Say whether a path is one of the store's pages."""
    return _PAGE.fullmatch(path) is not None and ".." not in path


def store_cookie(request: web.Request) -> dict[str, str]:
    """Return the header that shows the store its own cookie, and no other; empty where there is none."""
    secret = request.cookies.get(COOKIE, "")
    return {"Cookie": f"{COOKIE}={secret}"} if secret and secret.isascii() else {}


def _check_origin(request: web.Request) -> None:
    """A cookie rides along with any site's requests, so who shows one must come from our own pages."""
    own = middleware.own_origins(request)
    if COOKIE in request.cookies and not origins.may_change_state(request.method, request.headers, own=own):
        raise middleware.CrossSite(request.method)


def _request_headers(request: web.Request) -> dict[str, str]:
    return passed(request, _REQUEST_HEADERS) | store_cookie(request)


def passed(request: web.Request, names: Iterable[str]) -> dict[str, str]:
    """Return those of the request's headers that are passed on. Raises NotText for one that no header can say."""
    headers = {name: request.headers[name] for name in names if name in request.headers}
    if not all(map(forms.is_text, headers.values())):
        raise forms.NotText
    return headers


def _copy_answer(request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    for name in _RESPONSE_HEADERS:
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    if "Location" in answer.headers:
        response.headers["Location"] = path_of(answer.headers["Location"])
    for line in answer.headers.getall("Set-Cookie", []):
        if line.startswith(f"{COOKIE}=") and COOKIE in SimpleCookie(line):
            response.headers.add("Set-Cookie", line)
    middleware.set_headers(request, response)  # where the store has said nothing of its own


def path_of(location: str) -> str:
    """Return a Location as a path on this origin, whatever host the store thinks it has."""
    parts = urlsplit(location)
    path = "/" + parts.path.lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path
