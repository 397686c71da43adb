"""Which packets of a source are missing and when to ask for them (RFC 4585 section 6.2.1)."""

RETRY_SECONDS = 0.1
TRIES = 6
MAX_MISSING = 256
"""Beyond this a key frame mends more than retransmissions do."""


class Missing:
    """Sequence numbers awaited: number -> [asked last, times asked]. Times are monotonic seconds."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        """Start with nothing missing."""
        self._asked: dict[int, list[float]] = {}

    def __len__(self) -> int:
        """Return how many are awaited."""
        return len(self._asked)

    def open_gap(self, first: int, count: int, *, now: float) -> list[int]:
        """Note `count` numbers from `first` as missing; return those to ask for now, none if the gap is hopeless."""
        if len(self._asked) + count > MAX_MISSING:
            self._asked.clear()
            return []
        lost = [(first + step) & 0xFFFF for step in range(count)]
        for sequence in lost:
            self._asked[sequence] = [now, 1]
        return lost

    def fill(self, sequence: int) -> bool:
        """Note that a packet came; True when it was awaited."""
        return self._asked.pop(sequence, None) is not None

    def due(self, *, now: float) -> list[int]:
        """Return the numbers to ask for again; those asked often enough are given up."""
        again: list[int] = []
        for sequence, asked in list(self._asked.items()):
            if now - asked[0] < RETRY_SECONDS:
                continue
            if asked[1] >= TRIES:
                del self._asked[sequence]
                continue
            asked[0] = now
            asked[1] += 1
            again.append(sequence)
        return again

    def clear(self) -> None:
        """Forget all, when the source began anew."""
        self._asked.clear()
