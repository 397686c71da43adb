"""How long the loop was held up: while it is, nobody's packet moves."""

from collections import deque

OVER_MS = (5, 20, 100, 1000)
RECENT_SECONDS = 60.0


class Stalls:
    """Delays of a timer behind its time. Times are monotonic seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self._longest: deque[tuple[float, float]] = deque()  # (at, seconds), each longer than all after it
        self._counts = dict.fromkeys(OVER_MS, 0)

    def note(self, seconds: float, *, now: float) -> None:
        """Take how late the timer came."""
        for limit in OVER_MS:
            if seconds * 1000 > limit:
                self._counts[limit] += 1
        while self._longest and self._longest[-1][1] <= seconds:
            self._longest.pop()
        self._longest.append((now, seconds))
        while now - self._longest[0][0] > RECENT_SECONDS:
            self._longest.popleft()

    def find_recent_ms(self) -> float:
        """Return the longest delay of the last minute."""
        return round(self._longest[0][1] * 1000, 1) if self._longest else 0.0

    def count(self) -> dict[str, int]:
        """Return how often the delay was over so many milliseconds, since the start."""
        return {str(limit): count for limit, count in self._counts.items()}
