"""TURN servers for networks without UDP, and credentials for them that soon expire.

A credential lives LIFE. A page gets one with its room and a new one while its seat stands, so that the last one ends
at most LIFE after the call does.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypedDict

from aiohttp import web

from video_server.core import keys

LIFE = timedelta(minutes=10)
RENEW_SECONDS = 240.0


class IceServer(TypedDict):
    """One entry of a browser's `iceServers`."""

    urls: list[str]
    username: str
    credential: str


@dataclass(frozen=True)
class Turn:
    """The force's TURN servers: their addresses (turn:host:port?transport=…), and the secret they share with us."""

    urls: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)

    def ice_servers(self, *, user: str, now: datetime) -> list[IceServer]:
        """Return what a page is given to reach the relay through them; nothing when there are none.

        user   an id that says nothing; it stands in the TURN server's log
        """
        if not self.urls:
            return []
        username = f"{int((now + LIFE).timestamp())}:{user}"
        return [
            {
                "urls": list(self.urls),
                "username": username,
                "credential": keys.turn_password(self.secret, username),
            }
        ]


TURN = web.AppKey("turn", Turn)
