"""What comes of a request's body: pieces, and why they ended."""

from dataclasses import dataclass, field
from enum import Enum

PATIENCE_SECONDS = 0.1
"""How long bytes that came wait for more before they are worked on."""


class End(Enum):
    """Why the bytes stopped coming."""

    DONE = "the body ended"
    BEYOND = "more bytes came than fit"
    CUT = "the connection broke"
    SILENT = "nothing came for too long"
    WANTED = "another connection asked for the upload"


@dataclass
class Piece:
    """Bytes that came, `size` in all.

    buffer   the lent one that they begin, if they lie in one
    rests    more may be long in coming: no memory should be held for it
    """

    size: int = 0
    parts: list[bytes | memoryview] = field(default_factory=list)
    buffer: bytearray | None = None
    rests: bool = True

    def begin(self, length: int) -> bytes:
        """Return the first bytes, at most `length`."""
        found = b""
        for part in self.parts:
            found += bytes(part[: length - len(found)])
            if len(found) == length:
                break
        return found
