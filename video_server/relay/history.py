"""The last packets of a source, to answer NACKs and to know a duplicate."""

from array import array

SIZE = 512
"""Numbers kept, of which duplicates are known: 3 to 6 seconds of one video. A power of two."""

KEPT = 256
"""Packets kept: one to three seconds of one video, more than any receiver still asks for. A power of two."""

MASK = SIZE - 1
KEPT_MASK = KEPT - 1


class History:
    """Rings by sequence number, public to the hot path, which writes them inline.

    sequences   the number last seen in each place; -1 is none
    packets     OUT_HEADER as the source sent it (its own sequence, timestamp, payload type), then the payload
    """

    __slots__ = ("packets", "sequences")

    def __init__(self) -> None:
        """Start empty."""
        self.clear()

    def put(self, sequence: int, packet: bytes) -> None:
        """Keep a packet in place of an older one."""
        self.sequences[sequence & MASK] = sequence
        self.packets[sequence & KEPT_MASK] = packet

    def knows(self, sequence: int) -> bool:
        """Say whether the packet came, for one among the last SIZE."""
        return self.sequences[sequence & MASK] == sequence

    def find(self, sequence: int) -> bytes | None:
        """Return the packet, or None when it never came, is too old or was not kept."""
        packet = self.packets[sequence & KEPT_MASK]
        return packet if packet[2:4] == sequence.to_bytes(2, "big") else None

    def clear(self) -> None:
        """Forget all, when the source began anew."""
        self.sequences = array("i", [-1]) * SIZE
        self.packets: list[bytes] = [b""] * KEPT
