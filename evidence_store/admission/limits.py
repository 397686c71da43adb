"""How often one token, upload or incident may ask: so many times at once, after that spread evenly over a minute.

Counted by the generic cell rate algorithm (ITU-T I.371): one number for each key, the moment at which what was asked
for would have been due. Each process counts for itself, so a store of K processes lets K times as much through.
"""

from collections import OrderedDict
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from evidence_store import clock
from evidence_store.errors import TooFast

_WINDOW_SECONDS = 60.0
_MOST_KEYS = 10_000
_ROUNDING = 1e-6
REGISTRY = CollectorRegistry()
_REFUSED = Counter("evidence_too_fast_total", "Requests refused for coming too fast", ["of"], registry=REGISTRY)


class Limits:
    """What was counted lately, in bounded memory: beyond ten thousand keys those longest silent are forgotten."""

    def __init__(self, *, now: Callable[[], float] = clock.monotonic, most_keys: int = _MOST_KEYS) -> None:
        self._now, self._most_keys = now, most_keys
        self._due: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, of: str, key: str, per_minute: int) -> float:
        """Count one request and return 0; or, when there were too many, count nothing and return the seconds to wait.

        of          what is limited: token, upload, incident
        per_minute  0: no limit
        """
        if per_minute == 0:
            return 0.0
        now = self._now()
        due = max(self._due.get((of, key), now), now) + _WINDOW_SECONDS / per_minute
        wait = due - now - _WINDOW_SECONDS
        if wait > _ROUNDING:
            return wait
        self._due[of, key] = due
        self._due.move_to_end((of, key))
        while len(self._due) > self._most_keys:
            self._due.popitem(last=False)
        return 0.0

    def check(self, of: str, key: str, per_minute: int) -> None:
        """Count one request. Raises TooFast."""
        wait = self.take(of, key, per_minute)
        if wait:
            _REFUSED.labels(of).inc()
            raise TooFast(f"At most {per_minute} requests a minute for one {of}.", retry_after_seconds=wait)

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._due)
