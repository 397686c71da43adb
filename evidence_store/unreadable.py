"""What aiohttp refuses by itself, before there is a request that a handler could answer: told in our words.

Nothing of such a request is logged: what could not be read may hold a token. The names of aiohttp that this leans on
(`AppRunner._make_server`, `Server._loop`, `Server._kwargs`, `RequestHandler.data_received`,
`RequestHandler.handle_error`) are held by a test. video_server's web runs by it too, with words of its own.
"""

from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from evidence_store.log import get_logger
from evidence_store.problems import problem_response

log = get_logger(__name__)
_SEEN_BYTES = 8192
_TOO_LONG = "The address or a header is longer than is read here (8,190 bytes)."
_NO_HTTP = "This cannot be read as an HTTP request: its first line, a header or the body's framing is malformed."
_FAILED = "The store failed. Nothing was acknowledged."

Answer = Callable[[BaseException | None, bytes], web.Response]
"""Makes the answer, behind which the connection ends, of what went wrong and of the beginning of what came last."""


def status_of(problem: BaseException | None) -> tuple[int, str]:
    """Return status and code for what went wrong before there was a request."""
    if isinstance(problem, LineTooLong):
        return 431, "head_too_long"
    return (400, "not_http") if isinstance(problem, HttpProcessingError) else (500, "failed")


def tell(problem: BaseException | None, _seen: bytes) -> web.Response:
    """Answer as the store does."""
    status, code = status_of(problem)
    log.info("request_not_read", problem=type(problem).__name__, status=status)
    response = problem_response(status, code, {431: _TOO_LONG, 400: _NO_HTTP}.get(status, _FAILED), "")
    response.headers["Server"] = "evidence-store"  # or aiohttp would tell its version
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


class _Protocol(web.RequestHandler):
    __slots__ = ("_answer", "_seen")

    def __init__(self, manager: web.Server, answer: Answer, **given: Any) -> None:
        super().__init__(manager, **given)
        self._answer, self._seen = answer, b""

    def data_received(self, data: bytes) -> None:
        self._seen = data[:_SEEN_BYTES]
        super().data_received(data)

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
        response = self._answer(exc, self._seen)
        response.force_close()
        return response


class _Server(web.Server):
    answer: Answer

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, self.answer, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application; whatever its sender may have sent, the answer is one of ours, and nothing is unpacked."""

    __slots__ = ("_answer",)

    def __init__(self, app: web.Application, answer: Answer = tell, **given: Any) -> None:
        super().__init__(app, auto_decompress=False, **given)
        self._answer = answer

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        cast(_Server, server).answer = self._answer
        return server
