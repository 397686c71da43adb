"""What the relay counts. Names are stable: they show up in `status`, metrics and the README."""

from collections import Counter
from typing import Any


class Counters:
    """Plain integers, added to by the hot path; `dropped` by reason."""

    __slots__ = (
        "dropped", "forwarded", "key_frames_asked", "nacks_received", "nacks_sent", "received", "remb_received",
        "resent", "rtx_received", "twcc_sent",
    )  # fmt: skip

    def __init__(self) -> None:
        """Start at zero."""
        self.received = 0
        self.forwarded = 0
        self.nacks_sent = 0
        self.nacks_received = 0
        self.resent = 0
        self.rtx_received = 0
        self.key_frames_asked = 0
        self.twcc_sent = 0
        self.remb_received = 0
        self.dropped: Counter[str] = Counter()

    def snapshot(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        figures: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "dropped"}
        return figures | {"dropped": dict(self.dropped)}
