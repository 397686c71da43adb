"""A request's body, piece by piece: watched for silence, a broken connection, and being asked to let go.

A large body of known length is read past aiohttp, straight into buffers (`direct.py`); any other by aiohttp's stream.
"""

import asyncio
from collections.abc import Callable

from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http import HttpProcessingError

from evidence_store import clock
from evidence_store.intake.direct import Direct, can_take_over
from evidence_store.intake.pieces import PATIENCE_SECONDS, End, Piece

_BATCH_BYTES = 1 << 19
_SLOW_BYTES = 1 << 18  # who sends less than this at a time has to be waited for
_WATCH_SECONDS = 0.25


class Inlet:
    """Reads one request's body; `close()` it."""

    def __init__(
        self, request: web.Request, *, position: int, silent_after: float, is_wanted: Callable[[], bool]
    ) -> None:
        """Begin; the body's first byte goes to `position` of the object."""
        self._request, self._silent_after, self._is_wanted = request, silent_after, is_wanted
        self._source: Direct | _Streamed = _Streamed(request.content)
        self._position, self._is_new, self._rests = position, True, True
        self._looked_at = clock.monotonic()

    async def next(self) -> Piece | End:
        """Return the next bytes, or why there are none; once nothing comes, and memory is held, a piece of none."""
        if self._is_new:
            self._is_new = False
            if (piece := self._begin()).size:
                return piece
        since = clock.monotonic()
        while not self._wanted_now():
            found = await self._source.more(_WATCH_SECONDS)
            if found is None and not self._rests:
                self._source.shrink()
                found = Piece()
            if isinstance(found, Piece):
                self._rests = found.rests
            if found is not None:
                return found
            if clock.monotonic() - since > self._silent_after:
                return End.SILENT
        return End.WANTED

    def _begin(self) -> Piece:
        """Return what aiohttp has read already, and take over for the rest if it is long enough.

        A stream that was read empty leaves nothing in aiohttp's parser, and nothing comes between this and that.
        """
        assert isinstance(self._source, _Streamed)
        piece = self._source.empty()
        if can_take_over(self._request):
            self._source = Direct(self._request, self._position + piece.size)
        elif (self._request.content_length or _BATCH_BYTES) >= _BATCH_BYTES:
            self._request.content.set_read_chunk_size(_BATCH_BYTES // 2)  # else read in small sips: slow
        self._rests = piece.rests
        return piece

    def close(self) -> None:
        """Let aiohttp go on with the connection."""
        self._source.release()

    def _wanted_now(self) -> bool:
        now = clock.monotonic()
        if now - self._looked_at < _WATCH_SECONDS:
            return False
        self._looked_at = now
        return self._is_wanted()


class _Streamed:
    """Reads a body from aiohttp's stream, many chunks at a time."""

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream
        self._reading: asyncio.Future[bytes] | None = None
        self._end: End | None = None

    def empty(self) -> Piece:
        """Return what is there now."""
        piece = Piece()
        while chunk := self._try(self._stream.read_nowait):
            piece.size += len(chunk)
            piece.parts.append(chunk)
        piece.rests = piece.size < _SLOW_BYTES
        return piece

    async def more(self, seconds: float) -> Piece | End | None:
        """Return what came: a batch, or less when more is long in coming; None when nothing came so long."""
        piece, until = Piece(), clock.monotonic() + seconds
        while self._end is None and piece.size < _BATCH_BYTES:
            chunk = await self._next(until)
            if chunk:
                until = until if piece.size else clock.monotonic() + PATIENCE_SECONDS
                piece.size += len(chunk)
                piece.parts.append(chunk)
            elif self._end is None and self._stream.at_eof():
                self._end = End.DONE
            elif clock.monotonic() >= until:
                break
        piece.rests = piece.size < _SLOW_BYTES
        return piece if piece.size else self._end

    async def _next(self, until: float) -> bytes:
        """Return the next chunk; nothing when there is none before `until` (the waiting goes on at the next call)."""
        if self._reading is None:
            chunk = self._try(self._stream.read_nowait)
            if chunk or self._end is not None or self._stream.at_eof():
                return chunk
            self._reading = asyncio.ensure_future(self._stream.readany())
        await asyncio.wait({self._reading}, timeout=max(0.0, until - clock.monotonic()))
        if not self._reading.done():
            return b""
        reading, self._reading = self._reading, None
        return self._try(reading.result)

    def _try(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except (OSError, web.RequestPayloadError, ClientPayloadError, HttpProcessingError):
            self._end = End.CUT
            return b""

    def shrink(self) -> None:
        """Hold no memory: there is none."""

    def release(self) -> None:
        """Wait no more."""
        if self._reading is not None:
            self._reading.cancel()
