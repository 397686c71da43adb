"""The plaintext of a segment that is not sealed yet: in a lent buffer while bytes come fast, else on the shelf.

So what an upload holds in memory while nothing comes is a few kilobytes, however many there are.
"""

from collections.abc import Sequence
from pathlib import Path

from evidence_store.sealing import floe
from evidence_store.sealing.buffers import SEGMENTS
from evidence_store.sealing.shelf import MIN_PIECE_BYTES, SHELF, Laid

_PLAIN = floe.DEFAULT.plain_bytes


class Pending:
    """At most one segment's plaintext; `size` bytes of it are here. Blocking, for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.size = 0
        self._buffer: bytearray | None = None  # holds what is neither on the shelf nor loose, where it belongs
        self._loose = b""
        self._slot: int | None = None
        self._laid = Laid()
        self._laid_bytes = 0

    def add(self, data: memoryview) -> int:
        """Take what still fits; return how much that was."""
        taken = min(_PLAIN - self.size, len(data))
        self._open()[self.size : self.size + taken] = data[:taken]
        self.size += taken
        return taken

    def adopt(self, buffer: bytearray, size: int) -> bool:
        """Take a lent buffer, whose first `size` bytes come next, as it is; only when there is nothing yet."""
        if self.size or size > _PLAIN or len(buffer) != floe.SEGMENT_BYTES:
            return False
        if self._buffer is not None:
            SEGMENTS.give_back(self._buffer)
        self._buffer, self.size = buffer, size
        return True

    def put_aside(self, parts: Sequence[bytes | memoryview]) -> bool:
        """Take bytes without any buffer, and say so; not while one is in use, nor more than fits."""
        fresh = b"".join([self._loose, *parts])
        if self._buffer is not None or self._laid_bytes + len(fresh) > _PLAIN:
            return False
        self.size = self._laid_bytes + len(fresh)
        self._keep(fresh)
        return True

    def whole(self) -> memoryview:
        """Return all of it, in memory, good until the next call of anything else here. Raises Damaged."""
        view = memoryview(self._open())
        if self._slot is not None:
            SHELF.fetch(self._slot, self._laid, view)
        return view[: self.size]

    def clear(self) -> None:
        """Begin the next segment; the buffer stays."""
        self.size = self._laid_bytes = 0
        self._laid, self._loose = Laid(), b""
        if self._slot is not None:
            SHELF.free_slot(self._slot)
            self._slot = None

    def rest(self) -> None:
        """Give the buffer back: nothing may come for a while."""
        if self._buffer is None:
            return
        self._keep(memoryview(self._buffer)[self._laid_bytes : self.size])
        SEGMENTS.give_back(self._buffer)
        self._buffer = None

    def _keep(self, fresh: bytes | memoryview) -> None:
        """Keep what is behind the pieces on the shelf: there, or in memory when it is little."""
        if len(fresh) < MIN_PIECE_BYTES:
            self._loose = bytes(fresh)
            return
        if self._slot is None:
            self._slot = SHELF.take_slot(self._folder)
        SHELF.lay(self._slot, self._laid, fresh)
        self._laid_bytes, self._loose = self.size, b""

    def close(self) -> None:
        """Forget everything."""
        self.clear()
        if self._buffer is not None:
            SEGMENTS.give_back(self._buffer)
            self._buffer = None

    def _open(self) -> bytearray:
        if self._buffer is None:
            self._buffer = SEGMENTS.borrow()
            self._buffer[self._laid_bytes : self.size] = self._loose
            self._loose = b""
        return self._buffer
