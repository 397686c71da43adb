"""Is a participant there? Decided from the time of the last authenticated packet of any kind."""

from enum import StrEnum

PROBE_AFTER_SECONDS = 1.0
SILENT_AFTER_SECONDS = 2.0
GONE_AFTER_SECONDS = 30.0


class Change(StrEnum):
    """What is worth telling; the values are the event names."""

    SILENT = "silent"
    HEARD = "heard"
    GONE = "gone"


class Liveness:
    """One participant: never connected -> heard <-> silent -> gone. Times are monotonic seconds."""

    __slots__ = ("connected", "silent", "since")

    def __init__(self, *, now: float) -> None:
        """`since` is when it joined, until the first packet counts."""
        self.connected = False
        self.silent = False
        self.since = now

    def observe(self, heard_at: float, *, now: float) -> Change | None:
        """Return what changed since the last look.

        heard_at   the last authenticated packet; 0.0 when there was none yet
        """
        # Checks alone prove nothing: who cannot bring DTLS up is no participant however often it knocks.
        quiet = now - (max(heard_at, self.since) if self.connected else self.since)
        if quiet >= GONE_AFTER_SECONDS:
            return Change.GONE
        if not self.connected:
            return None
        if not self.silent and quiet >= SILENT_AFTER_SECONDS:
            self.silent = True
            return Change.SILENT
        if self.silent and quiet < SILENT_AFTER_SECONDS:
            self.silent = False
            return Change.HEARD
        return None

    def hang_up(self, *, now: float) -> Change | None:
        """The far end closed its side in so many words: silent at once, and gone if it does not come back."""
        self.since = now
        if not self.connected or self.silent:
            return None
        self.silent = True
        self.connected = False  # only a new connection makes it heard again
        return Change.SILENT
