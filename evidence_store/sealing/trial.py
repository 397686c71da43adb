"""Bytes on trial: taken, hashed and sealed like others, and kept only once their sender's checksum is known to fit.

While they come, a mark beside the file says where they begin: after a crash the file is cut there. The mark is gone,
and its folder flushed, before anything behind it is acknowledged.
"""

import contextlib
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from evidence_store.backend import flush_folder, write_whole

ALGORITHMS = ("sha1", "sha256")
_MARK = "trial"
_MAX_DIGITS = 19


@dataclass
class Trial:
    """What was there before: the plaintext's running hash, whole segments, what was behind them, the first bytes.

    checksum        runs over the bytes on trial; None when the sender announced none
    pending_bytes   how much was not sealed yet; what it was stands in its tail
    """

    checksum: "hashlib._Hash | None"
    hash: "hashlib._Hash"
    pending_bytes: int
    segments: int
    head: bytes

    def fits(self, expected: bytes) -> bool:
        """Say whether the bytes so far have this checksum; where none runs, any does."""
        return self.checksum is None or hmac.compare_digest(self.checksum.digest(), expected)


def new_checksum(algorithm: str) -> "hashlib._Hash":
    """Return a running checksum; SHA-1 is what tus clients send against damage on the way, not against attackers."""
    return hashlib.new(algorithm, usedforsecurity=False)


def digest_bytes(algorithm: str) -> int:
    """Return how long this algorithm's digests are."""
    return new_checksum(algorithm).digest_size


def write_mark(folder: Path, offset: int) -> None:
    """Lay the mark, flushed: what comes from `offset` on is on trial."""
    write_whole(folder / _MARK, str(offset).encode())


def clear_mark(folder: Path) -> None:
    """Take the mark away, flushed; none is fine."""
    with contextlib.suppress(FileNotFoundError):
        (folder / _MARK).unlink()
        flush_folder(folder)


def read_limit(folder: Path, *, acknowledged: int) -> int | None:
    """Return the offset behind which nothing counts, None without a mark; never less than what was acknowledged."""
    try:
        text = (folder / _MARK).read_bytes()
    except FileNotFoundError:
        return None
    marked = int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0
    return max(marked, acknowledged)
