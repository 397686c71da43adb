"""Look at a TURN server as a browser would, and as an intruder would: does it relay for us, and for nobody else?

Uses aioice's TURN client (aioice.turn), whose classes are public but not documented; the contract test names them.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aioice import stun, turn

from video_server.relay.turn_urls import TurnUrl

LIFE_SECONDS = 60
FORBIDDEN = 403
INTERNAL_PEERS = ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1")
"""Addresses of the kinds that a TURN server on the edge of a network must never reach for a stranger."""

_CHANNEL = 0x4000


class TurnRefused(Exception):
    """The TURN server said no, with this STUN error code: 401 to the credential, 403 to a peer, 486 to too many."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        super().__init__(f"STUN error {code}")
        self.code = code


class Allocation:
    """A relayed address of ours on a TURN server."""

    def __init__(self, client: Any) -> None:
        """Use `allocate` instead."""
        self._client = client
        self._channel = _CHANNEL

    async def permit(self, peer: str, port: int = 9) -> None:
        """Ask for the way to a peer. Raises TurnRefused."""
        try:
            await self._client.channel_bind(self._channel, (peer, port))
        except stun.TransactionFailed as refusal:
            raise TurnRefused(_code(refusal)) from None
        self._channel += 1


@asynccontextmanager
async def allocate(where: TurnUrl, *, username: str, password: str) -> AsyncIterator[Allocation]:
    """Hold an allocation until the block ends. Raises TurnRefused, OSError, TimeoutError."""
    client = await _connect(where, username, password)
    try:
        await client.connect()
    except stun.TransactionFailed as refusal:
        client.transport.close()
        raise TurnRefused(_code(refusal)) from None
    except stun.TransactionError:
        client.transport.close()
        raise TimeoutError from None
    try:
        yield Allocation(client)
    finally:
        await client.delete()


async def find_reachable(allocation: Allocation, peers: Sequence[str]) -> list[str]:
    """Return which of these peers the server would relay to."""
    reachable = []
    for peer in peers:
        try:
            await allocation.permit(peer)
        except TurnRefused as refusal:
            if refusal.code != FORBIDDEN:
                raise
        else:
            reachable.append(peer)
    return reachable


async def _connect(where: TurnUrl, username: str, password: str) -> Any:
    loop = asyncio.get_running_loop()
    server = (where.host, where.port)
    kind = turn.TurnClientTcpProtocol if where.transport == "tcp" else turn.TurnClientUdpProtocol

    def make() -> Any:
        return kind(
            server, username=username, password=password, lifetime=LIFE_SECONDS, channel_refresh_time=LIFE_SECONDS
        )

    if where.transport == "tcp":
        context = ssl.create_default_context() if where.secure else None
        return (await loop.create_connection(make, where.host, where.port, ssl=context))[1]
    return (await loop.create_datagram_endpoint(make, remote_addr=server))[1]


def _code(refusal: stun.TransactionFailed) -> int:
    return int(refusal.response.attributes["ERROR-CODE"][0])
