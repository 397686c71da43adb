"""Large request bodies past aiohttp's parser: the transport reads straight into buffers that are used again.

Once the headers are known, and with them how long the body is, a protocol of our own takes aiohttp's place on the
transport (`set_protocol`, as asyncio offers it) and reads exactly that many bytes. It saves three copies of each byte.
aiohttp's parser never sees them and cannot go on behind them, so the connection ends with the answer. All else
(writing the answer, losing the connection) is handed to aiohttp as before.

Buffers begin small and grow only while bytes come fast, so a slow sender holds a few kilobytes; and while many send at
once none grows large: on a machine that cannot keep up with them all of them look fast. A full buffer stops
the reading until it is fetched: a sender is never read faster than its bytes are sealed.
"""

import asyncio
from typing import ClassVar, cast

from aiohttp import hdrs, web

from evidence_store import clock
from evidence_store.intake.pieces import PATIENCE_SECONDS, End, Piece
from evidence_store.sealing.buffers import SEGMENTS, SMALL, SMALL_BYTES, give_back
from evidence_store.sealing.floe import DEFAULT, SEGMENT_BYTES

TAKEN_OVER = web.RequestKey("taken_over", bool)
"""Marks a request behind which the connection has to end."""

MIN_BYTES = 1 << 20
"""Shorter bodies, and what others have left when they could be taken over, are read by aiohttp's stream."""

_FEW = 16
"""So many bodies at one time may each have a buffer of a whole segment."""

_SHARED_BYTES = 3 << 20
"""Where there are more, all their buffers together have so much, or the smallest each."""

_GROWTH = 4
_PLAIN = DEFAULT.plain_bytes
_FAST_SECONDS = 0.1


def can_take_over(request: web.Request) -> bool:
    """Say whether this body is long enough, comes as it is, and over a plain socket."""
    transport, headers = request.transport, request.headers
    return (
        transport is not None
        and not transport.is_closing()
        and transport.get_extra_info("ssl_object") is None
        and hdrs.TRANSFER_ENCODING not in headers
        and hdrs.CONTENT_ENCODING not in headers
        and not request.content.is_eof()
        and (request.content_length or 0) - request.content.total_bytes >= MIN_BYTES
    )


def largest_buffer(bodies: int) -> int:
    """Return how many bytes the buffer of one body may have while so many are being read."""
    return SEGMENT_BYTES if bodies <= _FEW else max(SMALL_BYTES, _SHARED_BYTES // bodies)


class Direct(asyncio.BufferedProtocol):
    """Reads the rest of one body. Make it when aiohttp's stream has been read empty; `release()` it in the end.

    alive   how many there are in this process
    """

    alive: ClassVar[int] = 0

    def __init__(self, request: web.Request, position: int) -> None:
        """Take over; the next byte goes to `position` of the object."""
        Direct.alive += 1
        self._position = position
        self._request, self._below = request, request.protocol
        self._transport = cast(asyncio.Transport, request.transport)
        self._left = (request.content_length or 0) - request.content.total_bytes
        self._broken = False
        self._buffer = self._spare = bytearray(1024)
        self._waiter: asyncio.Future[None] | None = None
        self._any_will_do = False
        self._set_buffer(SMALL_BYTES)
        request[TAKEN_OVER] = True
        self._transport.pause_reading()
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    async def more(self, seconds: float) -> Piece | End | None:
        """Return what came: a full buffer, or less when more is long in coming; None when nothing came so long."""
        if not self._filled and not self._is_over:
            await self._wait(seconds, any_will_do=True)
        if not self._is_full and not self._is_over:
            await self._wait(PATIENCE_SECONDS if self._filled else 0, any_will_do=False)
        if self._filled:
            return self._fetch()
        if self._broken:
            return End.CUT
        return End.DONE if self._left == 0 else None

    def release(self) -> None:
        """End: when bytes are still to come aiohttp reads them off, so that their sender sees the answer."""
        Direct.alive -= 1
        give_back(self._buffer)
        self._buffer, self._room, self._filled = self._spare, 0, 0
        if self._left == 0 or self._broken:
            self._request.content.feed_eof()
        elif not self._transport.is_closing():
            self._transport.pause_reading()
            self._transport.set_protocol(self._below)
            self._transport.resume_reading()

    @property
    def _is_full(self) -> bool:
        return self._filled == self._room

    @property
    def _is_over(self) -> bool:
        return self._left == 0 or self._broken

    async def _wait(self, seconds: float, *, any_will_do: bool) -> None:
        self._waiter, self._any_will_do = asyncio.get_running_loop().create_future(), any_will_do
        try:
            await asyncio.wait({self._waiter}, timeout=seconds)
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def shrink(self) -> None:
        """Hold a small buffer only, if nothing is in this one."""
        if not self._filled and not self._is_over:
            give_back(self._buffer)
            self._set_buffer(SMALL_BYTES)

    def _fetch(self) -> Piece:
        """Hand over what came and read on, into a larger buffer if that one was full in no time."""
        size, buffer, was_full = self._filled, self._buffer, self._is_full
        is_fast = was_full and self._full_at - self._began_at < _FAST_SECONDS
        piece = Piece(size, [memoryview(buffer)[:size]], buffer, rests=not is_fast or len(buffer) < SEGMENT_BYTES)
        self._position += size
        size = min(largest_buffer(Direct.alive), len(buffer) * _GROWTH) if is_fast else SMALL_BYTES
        self._set_buffer(size)
        if was_full and not self._is_over and not self._transport.is_closing():
            self._transport.resume_reading()
        return piece

    def _set_buffer(self, size: int) -> None:
        """Read into a buffer of this size: a large one no further than the object's segment, which it then holds."""
        pool = {SEGMENT_BYTES: SEGMENTS, SMALL_BYTES: SMALL}.get(size)
        if self._left == 0:
            self._buffer = self._spare
        else:
            self._buffer = pool.borrow() if pool is not None else bytearray(size)
        room = _PLAIN - self._position % _PLAIN if size == SEGMENT_BYTES else size
        self._room, self._filled = min(room, self._left), 0
        self._began_at = self._full_at = clock.monotonic()

    # --- what the transport calls

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes go: never beyond this body."""
        if self._is_full:
            return memoryview(self._spare)
        return memoryview(self._buffer)[self._filled : self._room]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what came."""
        if self._is_full and self._left == 0:
            return  # what is sent behind the body is read off: unread it would take our answer with it
        if self._is_full:  # read although paused: that byte is lost
            self._broken = True
        else:
            self._filled += nbytes
            self._left -= nbytes
            self._full_at = clock.monotonic()
        if self._is_full:
            self._transport.pause_reading()
        if self._is_full or self._any_will_do:
            self._wake()

    def eof_received(self) -> None:
        """Take note that nothing more will come, and have the transport closed as aiohttp does."""
        self._broken = self._broken or self._left > 0
        self._wake()
        self._below.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note, and let aiohttp do so."""
        self._broken = self._broken or self._left > 0
        self._wake()
        self._below.connection_lost(exc)

    def pause_writing(self) -> None:
        """Leave writing to aiohttp."""
        self._below.pause_writing()

    def resume_writing(self) -> None:
        """Leave writing to aiohttp."""
        self._below.resume_writing()
