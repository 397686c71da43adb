"""A sender's request about an upload that lies on another node, passed on to it; its answer passed back.

The sender's own grant or bearer goes along and is checked there again: a node has no rights of its own on another. A
request is passed on once, which a header says, and its body as it comes, in constant memory. A body that breaks off
here breaks off there, where what came of it is kept.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import hdrs, web

from evidence_store.errors import Elsewhere
from evidence_store.log import get_logger
from evidence_store.nodes.service import find_url
from evidence_store.store import Store

log = get_logger(__name__)
HOP = "Evidence-Passed-On"
_HEADERS = (
    "Authorization",
    "Content-Length",
    "Content-Type",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "X-HTTP-Method-Override",
)
_OF_ONE_CONNECTION = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 600.0
"""How long a node may take from the last byte to its answer: sealing 20 GB into a bucket takes minutes."""
_GRACE_SECONDS = 15.0
"""How much longer a silent sender is borne here than there, so that the holder's word is heard."""
_MOST_ANSWER = 1 << 16


class Passing:
    """This node's connections to others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(self, request: web.Request, elsewhere: Elsewhere, body: bytes | None) -> web.Response:
        """Return the holder's answer to a request.

        body    what was read of the request already: all of it, or None: nothing
        Raises  `elsewhere`, when the holder cannot be reached or sent the request here
        """
        url = None if HOP in request.headers else await find_url(self._store, elsewhere.node)
        if url is None or elsewhere.node == self._store.node:
            raise elsewhere
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers} | {HOP: "1"}
        if not request.body_exists:
            headers.pop(hdrs.CONTENT_LENGTH, None)
        try:
            async with asyncio.timeout(None) as patience:
                coming = _Body(request.content, patience, self._store.settings.idle_seconds + _GRACE_SECONDS)
                data = coming.pieces() if body is None and request.body_exists else body
                try:
                    async with self._open().request(
                        request.method, f"{url}{request.rel_url.raw_path}", headers=headers, data=data,
                        allow_redirects=False,
                    ) as answer:  # fmt: skip
                        said = await _answer(answer)
                        coming.end()  # here, for the connection is let go only when the body has ended
                        return said
                finally:
                    coming.end()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
            if request.content.exception() is None:  # else it was the sender who broke off
                log.warning("node_not_reached", node=elsewhere.node, problem=type(problem).__name__)
            raise elsewhere from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            ca = self._store.settings.node_ca
            trust: ssl.SSLContext | bool = True if ca is None else ssl.create_default_context(cafile=ca)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust, force_close=True),  # an old one may be closing just then
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    async def is_reached(self, url: str) -> bool:
        """Say whether a node answers there."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS), self._open().get(f"{url}/healthz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class _Body:
    """A sender's body on its way. `patience` is what its silence, or the other node's, is measured by."""

    def __init__(self, content: aiohttp.StreamReader, patience: asyncio.Timeout, silent_after: float) -> None:
        self._content, self._patience, self._silent_after = content, patience, silent_after
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._wait(_ANSWER_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._patience.reschedule(self._loop.time() + seconds)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what comes, until all came or the other node answered."""
        while not self._ended.done():
            self._wait(self._silent_after)
            reading = asyncio.ensure_future(self._content.readany())
            either: set[asyncio.Future[Any]] = {reading, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                return
            self._wait(_ANSWER_SECONDS)
            if not (piece := reading.result()):
                return
            yield piece

    def end(self) -> None:
        """Read no more of it: the answer is there."""
        if not self._ended.done():
            self._ended.set_result(None)


async def _answer(answer: aiohttp.ClientResponse) -> web.Response:
    """Return an answer as it came; its body is short, whatever was asked."""
    body = b""
    while len(body) <= _MOST_ANSWER and (piece := await answer.content.readany()):
        body += piece
    if len(body) > _MOST_ANSWER:
        raise ValueError("no answer of ours is that long")
    response = web.Response(status=answer.status, reason=answer.reason, body=body or None)
    response.headers.popall(hdrs.CONTENT_TYPE, None)
    response.headers.extend(
        [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_ONE_CONNECTION]
    )
    return response
