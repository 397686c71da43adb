"""What slow uploads have sent of a segment, kept out of memory until the segment is whole.

One file without a name for the process, in slots of one segment; gone when the process is, however it ends. Each piece
is sealed by AES-256-GCM under a key that only this process' memory holds, with a number never used twice: what comes
back is what was laid there, or Damaged. Nothing rests on it after a crash. Safe between threads.
"""

import heapq
import itertools
import os
import tempfile
import threading
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from evidence_store.backend import write_all
from evidence_store.errors import Damaged
from evidence_store.sealing import floe

MIN_PIECE_BYTES = 4 << 10
"""Smaller pieces are kept in memory: so a slot's tags have a bound."""

_TAG_BYTES = 16
_SLOT_BYTES = floe.SEGMENT_BYTES + (floe.SEGMENT_BYTES // MIN_PIECE_BYTES + 1) * _TAG_BYTES


@dataclass
class Laid:
    """What lies in one slot, in order: the number that each piece was sealed with, and its plaintext's length."""

    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))

    @property
    def sealed_bytes(self) -> int:
        """How much of the slot they take."""
        return sum(self.sizes) + len(self.sizes) * _TAG_BYTES


class Shelf:
    """The file and its slots. Raises OSError where the disk does not take or give bytes."""

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._numbers = itertools.count()
        self._turn = threading.Lock()
        self._descriptor = -1
        self._free: list[int] = []
        self._slots = 0

    def take_slot(self, folder: Path) -> int:
        """Return a slot that nobody has; the file is made in `folder` when there is none yet."""
        with self._turn:
            if self._descriptor < 0:
                self._descriptor, name = tempfile.mkstemp(dir=folder, prefix=".shelf-")
                os.unlink(name)
            if self._free:
                return heapq.heappop(self._free)
            self._slots += 1
            return self._slots - 1

    def free_slot(self, slot: int) -> None:
        """Let others have a slot."""
        with self._turn:
            heapq.heappush(self._free, slot)

    def lay(self, slot: int, before: Laid, plaintext: bytes | memoryview) -> None:
        """Put a piece behind those that lie in the slot, and note it with them."""
        number = next(self._numbers)
        sealed = self._cipher.encrypt(_nonce(number), plaintext, None)
        write_all(self._descriptor, memoryview(sealed), at=slot * _SLOT_BYTES + before.sealed_bytes)
        before.numbers.append(number)
        before.sizes.append(len(plaintext))

    def fetch(self, slot: int, laid: Laid, out: memoryview) -> None:
        """Put the plaintext of all pieces of a slot into `out`. Raises Damaged."""
        at, start = slot * _SLOT_BYTES, 0
        for number, size in zip(laid.numbers, laid.sizes, strict=True):
            sealed = os.pread(self._descriptor, size + _TAG_BYTES, at)
            try:
                self._cipher.decrypt_into(_nonce(number), sealed, None, out[start : start + size])
            except (InvalidTag, ValueError):
                raise Damaged("open upload: what was put aside of it was changed") from None
            at, start = at + size + _TAG_BYTES, start + size


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


SHELF = Shelf()
"""The one of this process."""
