"""What aiohttp refuses by itself, before there is a request that a handler could answer: told as a problem too.

Nothing of such a request is logged: what could not be read may hold a token. The three names of aiohttp that this leans
on (`AppRunner._make_server`, `Server.__call__`, `RequestHandler.handle_error`) are held by a test.
"""

from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from evidence_store.log import get_logger
from evidence_store.problems import problem_response

log = get_logger(__name__)
_TOO_LONG = "The address or a header is longer than is read here (8,190 bytes)."
_NO_HTTP = "This cannot be read as an HTTP request: its first line, a header or the body's framing is malformed."
_FAILED = "The store failed. Nothing was acknowledged."


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer, behind which the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun")
        if isinstance(exc, LineTooLong):
            status, code, title = 431, "head_too_long", _TOO_LONG
        elif isinstance(exc, HttpProcessingError):
            code, title = "not_http", _NO_HTTP
        else:
            code, title = "failed", _FAILED
        log.info("request_not_read", problem=type(exc).__name__, status=status)
        response = problem_response(status, code, title, "")
        response.headers["Server"] = "evidence-store"  # or aiohttp would tell its version
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        protocol = super().__call__()
        protocol.__class__ = _Protocol
        return protocol


class Runner(web.AppRunner):
    """Runs an application; whatever its sender may have sent, the answer is one of ours, and nothing is unpacked."""

    __slots__ = ()

    def __init__(self, app: web.Application, **given: Any) -> None:
        super().__init__(app, auto_decompress=False, **given)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server
