"""The only place that reads the wall clock; everything else is handed `now`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""A callable that returns the present as an aware UTC datetime."""


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


monotonic = time.monotonic
"""Seconds that only go forward, for durations inside one process; never stored."""
