"""Arrival times of packets from the kernel's stamps, without trusting the wall clock they are taken from.

The kernel stamps a datagram when it arrives (SO_TIMESTAMPNS); the time we get round to it is later by our own stalls,
which bandwidth estimation would take for congestion. The stamps are wall-clock times, so only their differences count:
the smallest distance ever seen between "now, monotonic" and "stamped" is the offset between the clocks; a stamp that
strays more than a second from it means that somebody set the clock, and the offset is learnt anew.
"""

SO_TIMESTAMPNS = 35  # Linux, asm-generic/socket.h; Python names it only from 3.14 on
_STRAY_SECONDS = 1.0


class ArrivalClock:
    """Kernel stamp -> monotonic seconds."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._offset: float | None = None

    def shift(self, stamp_seconds: float, *, now: float) -> float:
        """Return what to add to a stamp to have the monotonic time of arrival.

        stamp_seconds   the newest there is; those before it are then never after `now`
        """
        offset = now - stamp_seconds
        if self._offset is None or offset < self._offset or offset - self._offset > _STRAY_SECONDS:
            self._offset = offset
        return self._offset
