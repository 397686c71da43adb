"""From a socket into an `Incoming`: bounded, watched, hashing and sealing in a worker while the next bytes come in."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from evidence_store.intake.inlet import Inlet
from evidence_store.intake.pieces import End, Piece
from evidence_store.sealing.buffers import give_back
from evidence_store.sealing.incoming import SNIFF_BYTES, Incoming
from evidence_store.store import Store

_CHECKPOINT_BYTES = 64 << 20


async def take(
    store: Store,
    request: web.Request,
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
    head, taken = incoming.head, incoming.offset
    inlet = Inlet(
        request, position=taken, silent_after=store.settings.idle_seconds, is_wanted=is_wanted or (lambda: False)
    )
    checkpointed = taken
    working: asyncio.Future[None] | None = None
    try:
        while True:
            piece = await inlet.next()
            if isinstance(piece, End):
                break
            if taken + piece.size > length:
                piece = End.BEYOND
                break
            taken += piece.size
            if len(head) < SNIFF_BYTES:
                head += piece.begin(SNIFF_BYTES - len(head))
                if len(head) == SNIFF_BYTES or (exact and taken == length):
                    check_head(head)
            if working is not None:
                await working
            working = store.start(_write, incoming, piece)
            if on_checkpoint is not None and taken - checkpointed >= _CHECKPOINT_BYTES:
                await working
                working, checkpointed = None, taken
                await on_checkpoint(await store.run(incoming.checkpoint, with_tail=False))
        if piece is End.DONE and not exact and len(head) < SNIFF_BYTES:
            check_head(head)
    finally:
        inlet.close()
        if working is not None:
            await working
    return piece


def _write(incoming: Incoming, piece: Piece) -> None:
    is_kept = incoming.write(piece.parts, buffer=piece.buffer, rests=piece.rests)
    if piece.buffer is not None and not is_kept:
        piece.parts.clear()
        give_back(piece.buffer)
