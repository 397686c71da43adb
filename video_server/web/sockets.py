"""WebSockets of pages: bounded messages, heartbeat, a clean end when the process stops."""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from video_server.core.errors import Refusal

HEARTBEAT_SECONDS = 5.0
MAX_MESSAGE_BYTES = 96 * 1024  # an SDP offer is up to 64 KiB
RESTARTING = web.AppKey("restarting", asyncio.Event)
"""Set when this process closes its sockets to stop: pages come back to the next one."""
SOCKETS: web.AppKey[weakref.WeakSet[web.WebSocketResponse]] = web.AppKey("sockets", weakref.WeakSet)
"""The open sockets of this process."""


class PageSocket:
    """One page's socket: JSON objects in and out, one writer at a time."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._turn = asyncio.Lock()

    async def send(self, message: dict[str, Any]) -> None:
        """Send one object; a socket that has closed meanwhile is no error, its reader ends by itself."""
        async with self._turn:
            if not self._socket.closed:
                with suppress(ConnectionResetError, RuntimeError):  # the reader sees the end
                    await self._socket.send_json(message)

    async def close(self, *, code: int = 1000, reason: str = "") -> None:
        """Close it; `reason` is a code the page understands."""
        await self._socket.close(code=code, message=reason.encode())

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the page's JSON objects until it closes; anything else closes the socket with 1003."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                await self.close(code=1003, reason="text_only")
                return
            try:
                value = json.loads(message.data)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict) or not isinstance(value.get("type"), str):
                await self.close(code=1003, reason="not_an_object")
                return
            yield value


class UpgradeRequired(Refusal):
    """A plain GET of a socket's address: how a page asks whether it is still welcome. It changes nothing."""

    code = "upgrade_required"
    status = 426


def require_upgrade(request: web.Request) -> None:
    """Raise UpgradeRequired unless the request asks for a WebSocket."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise UpgradeRequired


async def open_socket(request: web.Request) -> tuple[web.WebSocketResponse, PageSocket]:
    """Accept a page's WebSocket (its Origin was checked by the middleware) and remember it for shutdown."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
    await socket.prepare(request)
    open_ones = request.app[SOCKETS]
    open_ones.add(socket)
    return socket, PageSocket(socket)


async def close_all(app: web.Application) -> None:
    """Tell every page at shutdown to come back at once (1012: service restart)."""
    app[RESTARTING].set()
    open_ones = app[SOCKETS]
    await asyncio.gather(*(socket.close(code=1012, message=b"restart") for socket in open_ones), return_exceptions=True)
