"""A bucket of tokens: how often something may be done."""


class Allowance:
    """A bucket of tokens: `most` at once, refilled over time."""

    def __init__(self, most: int, per_second: float) -> None:
        self._most = float(most)
        self._per_second = per_second
        self._left = float(most)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Take one token; False when there is none. `now` is monotonic seconds."""
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
