"""WebSockets of pages: bounded messages, heartbeat, a clean end when the process stops."""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from aiohttp import WSMsgType, web
from prometheus_client import Counter

from video_server.core.errors import Refusal, TooMany
from video_server.web import limits

HEARTBEAT_SECONDS = 5.0
MAX_MESSAGE_BYTES = 96 * 1024  # an SDP offer is up to 64 KiB
RESTARTING = web.AppKey("restarting", asyncio.Event)
"""Set when this process closes its sockets to stop: pages come back to the next one."""
SOCKETS: web.AppKey[weakref.WeakKeyDictionary[web.WebSocketResponse, tuple[str, str]]] = web.AppKey(
    "sockets", weakref.WeakKeyDictionary
)
"""The open sockets of this process, with the session and the room of each."""

OPENED_TOO_OFTEN = 4029
MOST_OPENED = 40  # of one session in WINDOW: an honest page on a link that always breaks opens one in five seconds
MOST_OPENED_OF_ROOM = 200
MOST_OPEN = 10  # of one session at once: one, and lines that the server does not know yet to be dead
MOST_OPEN_OF_ROOM = 60
WINDOW = timedelta(minutes=1)
_GOODBYE_SECONDS = 1.0
TURNED_AWAY = Counter("sockets_turned_away_total", "WebSockets refused because their session or room had too many")


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


async def open_socket(
    request: web.Request, *, session_id: str = "", room: str = ""
) -> tuple[web.WebSocketResponse, PageSocket]:
    """Accept a page's WebSocket (its Origin was checked by the middleware) and remember it for shutdown."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
    await socket.prepare(request)
    open_ones = request.app[SOCKETS]
    open_ones[socket] = session_id, room
    return socket, PageSocket(socket)


async def turn_away(request: web.Request, *, session_id: str, room: str) -> web.WebSocketResponse | None:
    """Return the end of a socket whose session or room has too many, or opens them too often; None: it may open.

    It is accepted and closed with OPENED_TOO_OFTEN, for a page cannot see why a WebSocket is refused by HTTP.
    Raises UpgradeRequired
    """
    require_upgrade(request)
    try:
        limits.limit_here(request, "sockets", session_id, most=MOST_OPENED, window=WINDOW)
        limits.limit_here(request, "sockets-of-room", room, most=MOST_OPENED_OF_ROOM, window=WINDOW)
        of = [of for socket, of in request.app[SOCKETS].items() if not socket.closed]
        in_session, in_room = (sum(one[n] == name for one in of) for n, name in enumerate((session_id, room)))
        if in_session >= MOST_OPEN or in_room >= MOST_OPEN_OF_ROOM:
            raise TooMany("sockets")
    except TooMany:
        TURNED_AWAY.inc()
        socket = web.WebSocketResponse(timeout=_GOODBYE_SECONDS)
        await socket.prepare(request)
        await socket.close(code=OPENED_TOO_OFTEN, message=b"opened_too_often")
        return socket
    return None


async def close_all(app: web.Application) -> None:
    """Tell every page at shutdown to come back at once (1012: service restart)."""
    app[RESTARTING].set()
    open_ones = list(app[SOCKETS].keys())
    await asyncio.gather(*(socket.close(code=1012, message=b"restart") for socket in open_ones), return_exceptions=True)
