"""Plaintext on its way out: the next segment is opened while the last one is sent, in two buffers used again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from evidence_store.sealing.buffers import SEGMENTS
from evidence_store.sealing.reading import SealedObject
from evidence_store.store import Store

PATIENCE_SECONDS = 300.0
"""How long a reader may take for a MiB: 3.5 kB/s, less than any telephone line brings."""
_COPIED_BYTES = 1 << 16  # what is small is copied: aiohttp need not have sent it when its write() returns


async def send(
    request: web.Request, response: web.StreamResponse, store: Store, sealed: SealedObject, start: int, stop: int
) -> None:
    """Send the plaintext from `start` up to `stop`; the response is prepared once its first piece is known to be sound.

    Raises Damaged (before the response is prepared, or in the middle of it), ConnectionError when the reader went away.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    is_plain = transport.get_extra_info("ssl_object") is None  # TLS sends what it made of a piece, when it likes
    if is_plain:
        transport.set_write_buffer_limits(high=0)  # so that write() returns when all of it was sent
    async with aclosing(_pieces(store, sealed, start, stop, transport)) as pieces:
        async for piece in pieces:
            if not response.prepared:
                await response.prepare(request)
            await write(request, response, piece if is_plain and len(piece) > _COPIED_BYTES else bytes(piece))
    if is_plain:
        transport.set_write_buffer_limits()


async def write(request: web.Request, response: web.StreamResponse, piece: bytes | memoryview) -> None:
    """Send a piece, at most a MiB, to a reader who takes it in time. Raises ConnectionError.

    A stream that is not read holds two such pieces and an open file: it must end by itself.
    """
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await response.write(piece)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("it is not read") from None


async def _pieces(
    store: Store, sealed: SealedObject, start: int, stop: int, transport: asyncio.WriteTransport
) -> AsyncGenerator[memoryview, None]:
    """Yield the plaintext piece by piece; each is good until the next is asked for.

    A buffer is used again only when the transport holds nothing: else it may still be looking at it.
    """
    buffer = SEGMENTS.borrow()
    opening: asyncio.Future[memoryview] | None = store.start(sealed.read_into, buffer, start, stop)
    try:
        while opening is not None:
            piece, sending, opening = await opening, buffer, None
            start += len(piece)
            if start < stop:
                buffer = SEGMENTS.borrow()
                opening = store.start(sealed.read_into, buffer, start, stop)
            yield piece
            if transport.get_write_buffer_size() == 0:
                SEGMENTS.give_back(sending)
    finally:
        if opening is not None:
            await asyncio.wait({opening})  # the file must not be closed under it
            opening.exception()
