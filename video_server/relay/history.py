"""The last packets of a source, to answer NACKs and to know a duplicate."""

SIZE = 512
"""Packets kept: 3 to 6 seconds of one video, more than any receiver still asks for. A power of two."""

MASK = SIZE - 1


class History:
    """A ring by sequence number. `sequences` and `packets` are public to the hot path, which writes them inline.

    packets   OUT_HEADER as the source sent it (its own sequence, timestamp, payload type), then the payload
    """

    __slots__ = ("packets", "sequences")

    def __init__(self) -> None:
        """Start empty; -1 is no sequence number."""
        self.sequences: list[int] = [-1] * SIZE
        self.packets: list[bytes] = [b""] * SIZE

    def put(self, sequence: int, packet: bytes) -> None:
        """Keep a packet in place of the one 512 before it."""
        self.sequences[sequence & MASK] = sequence
        self.packets[sequence & MASK] = packet

    def find(self, sequence: int) -> bytes | None:
        """Return the packet, or None when it never came or is too old."""
        at = sequence & MASK
        return self.packets[at] if self.sequences[at] == sequence else None

    def clear(self) -> None:
        """Forget all, when the source began anew."""
        self.sequences = [-1] * SIZE
        self.packets = [b""] * SIZE
