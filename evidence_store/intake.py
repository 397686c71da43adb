"""From a socket into an `Incoming`: bounded, watched, hashing and sealing in a worker while the next bytes come in."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http import HttpProcessingError

from evidence_store import clock
from evidence_store.sealing.incoming import SNIFF_BYTES, Incoming
from evidence_store.store import Store

_BATCH_BYTES = 1 << 19
_CHECKPOINT_BYTES = 64 << 20
_WATCH_SECONDS = 0.25


class End(Enum):
    """Why the bytes stopped coming."""

    DONE = "the body ended"
    BEYOND = "more bytes came than fit"
    CUT = "the connection broke"
    SILENT = "nothing came for too long"
    WANTED = "another connection asked for the upload"


async def take(
    store: Store,
    stream: StreamReader,
    incoming: Incoming,
    *,
    length: int,
    exact: bool,
    check_head: Callable[[bytes], None],
    is_wanted: Callable[[], bool] | None = None,
    on_checkpoint: Callable[[int], Awaitable[None]] | None = None,
) -> End:
    """Take bytes until they end, at most up to `length` in all; nothing is durable yet when this returns.

    exact          `length` is what the whole object has (tus); else it is only the limit (PUT)
    check_head     is given the first bytes before they are stored; it raises to refuse them
    is_wanted      says whether to let go
    on_checkpoint  is told of offsets that became durable on the way
    """
    reader = _Watched(stream, silent_after=store.settings.idle_seconds, is_wanted=is_wanted or (lambda: False))
    head, taken = incoming.head, incoming.offset
    batch: list[bytes] = []
    batch_bytes, checkpointed = 0, taken
    working: asyncio.Future[None] | None = None
    try:
        while True:
            chunk = await reader.next()
            if isinstance(chunk, End):
                break
            if taken + len(chunk) > length:
                chunk = End.BEYOND
                break
            if len(head) < SNIFF_BYTES:
                head += chunk[: SNIFF_BYTES - len(head)]
                if len(head) == SNIFF_BYTES or (exact and taken + len(chunk) == length):
                    check_head(head)
            taken += len(chunk)
            batch.append(chunk)
            batch_bytes += len(chunk)
            if batch_bytes < _BATCH_BYTES:
                continue
            if working is not None:
                await working
            working = store.start(incoming.write, batch)
            batch, batch_bytes = [], 0
            if on_checkpoint is not None and taken - checkpointed >= _CHECKPOINT_BYTES:
                await working
                working, checkpointed = None, taken
                await on_checkpoint(await store.run(incoming.checkpoint, with_tail=False))
        if chunk is End.DONE and not exact and len(head) < SNIFF_BYTES:
            check_head(head)
    finally:
        if working is not None:
            await working
    if batch:
        await store.run(incoming.write, batch)
    return chunk


class _Watched:
    """Reads a request's body; notices silence, a broken connection, and being asked to let go."""

    def __init__(self, stream: StreamReader, *, silent_after: float, is_wanted: Callable[[], bool]) -> None:
        self._stream, self._silent_after, self._is_wanted = stream, silent_after, is_wanted
        self._looked_at = clock.monotonic()

    async def next(self) -> bytes | End:
        try:
            if self._wanted_now():
                return End.WANTED
            chunk = self._stream.read_nowait()
            return chunk or await self._wait()
        except (OSError, web.RequestPayloadError, ClientPayloadError, HttpProcessingError):
            return End.CUT

    async def _wait(self) -> bytes | End:
        if self._stream.at_eof():
            return End.DONE
        since = clock.monotonic()
        reading = asyncio.ensure_future(self._stream.readany())
        try:
            while not (await asyncio.wait({reading}, timeout=_WATCH_SECONDS))[0]:
                if self._wanted_now():
                    return End.WANTED
                if clock.monotonic() - since > self._silent_after:
                    return End.SILENT
            return reading.result() or End.DONE
        finally:
            reading.cancel()

    def _wanted_now(self) -> bool:
        now = clock.monotonic()
        if now - self._looked_at < _WATCH_SECONDS:
            return False
        self._looked_at = now
        return self._is_wanted()
