"""The last packets of a source, to answer NACKs and to know a duplicate."""

from array import array
from collections import deque

SIZE = 512
"""Numbers known at most: 3 to 6 seconds of one video. A power of two."""

MASK = SIZE - 1

AGES = 10
"""How many calls of `age` a packet outlives: a second, if they come every 100 ms. Browsers keep theirs as long."""


class History:
    """Rings by sequence number, public to the hot path, which writes them inline.

    sequences   the number last seen in each place; -1 is none
    packets     OUT_HEADER as the source sent it (its own sequence, timestamp, payload type), then the payload
    """

    __slots__ = ("_ages", "_forgotten", "packets", "sequences")

    def __init__(self) -> None:
        """Start empty."""
        self._forgotten: int | None = None
        self.clear()

    def put(self, sequence: int, packet: bytes) -> None:
        """Keep a packet in place of an older one."""
        self.sequences[sequence & MASK] = sequence
        self.packets[sequence & MASK] = packet

    def knows(self, sequence: int) -> bool:
        """Say whether the packet came, for one among the last SIZE."""
        return self.sequences[sequence & MASK] == sequence

    def find(self, sequence: int) -> bytes | None:
        """Return the packet, or None when it never came, is too old or was not kept."""
        packet = self.packets[sequence & MASK]
        return packet if packet[2:4] == sequence.to_bytes(2, "big") else None

    def age(self, newest: int) -> None:
        """Forget the packets that were there AGES calls ago, but not their numbers.

        newest   the newest number now
        """
        self._ages.append(newest)
        if len(self._ages) <= AGES:
            return
        oldest = self._ages.popleft()
        # Places of numbers that came since are no longer those of the old ones.
        most = max(0, SIZE - ((newest - oldest) & 0xFFFF))
        count = most if self._forgotten is None else min((oldest - self._forgotten) & 0xFFFF, most)
        begin = (oldest - count + 1) & MASK
        fits = min(count, SIZE - begin)
        self.packets[begin : begin + fits] = [b""] * fits
        self.packets[: count - fits] = [b""] * (count - fits)
        self._forgotten = oldest

    def clear(self) -> None:
        """Forget all, when the source began anew."""
        self.sequences = array("i", [-1]) * SIZE
        self.packets: list[bytes] = [b""] * SIZE
        self._ages: deque[int] = deque()
        self._forgotten = None
