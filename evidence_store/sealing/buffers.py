"""Buffers of one segment each, lent and used again: fresh megabytes cost more in page faults than hashing them.

Nobody waits for one: where none is free a new one is made, and what comes back is kept up to a number. So what bounds
them is how many are in use at one time, and that is the borrowers' affair. A buffer comes back only when nothing can
look at it any more; whoever is not sure lets it go instead. Safe between threads.
"""

from collections import deque

from evidence_store.sealing import floe

_KEPT = 6
_SMALL_KEPT = 64


class Buffers:
    """Some buffers of equal size that wait for their next use."""

    def __init__(self, size_bytes: int, *, kept: int) -> None:
        self.size_bytes = size_bytes
        self._waiting = deque[bytearray](maxlen=kept)

    def borrow(self) -> bytearray:
        """Return a buffer that nobody else has; what it holds is left over from others: never give it out unwritten."""
        try:
            return self._waiting.pop()
        except IndexError:
            return bytearray(self.size_bytes)

    def give_back(self, buffer: bytearray) -> None:
        """Take a buffer back; nothing may look at it any more."""
        self._waiting.append(buffer)


SEGMENTS = Buffers(floe.SEGMENT_BYTES, kept=_KEPT)
"""For segments, plain or sealed, of every object of this process."""

SMALL_BYTES = 8 << 10
SMALL = Buffers(SMALL_BYTES, kept=_SMALL_KEPT)
"""For what slow senders send."""


def give_back(buffer: bytearray) -> None:
    """Take a buffer back where it came from; one of another size is let go."""
    for buffers in (SEGMENTS, SMALL):
        if len(buffer) == buffers.size_bytes:
            buffers.give_back(buffer)
