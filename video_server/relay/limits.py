"""How much one participant, and one stranger, may ask of the relay. What is beyond is counted and dropped.

Media is limited after it proved authentic, not before: otherwise whoever forges a participant's address could use up
its allowance and silence it. A forged packet costs one failed decryption and nothing else.
"""

from collections.abc import Hashable

PACKET_COST = 200
"""Bytes by which each packet counts for more than its size: small ones cost nearly as much as large ones."""

CREDIT_PER_SECOND = 2_000_000
"""Some 13 Mbit/s of full packets, or 6,600 small ones a second; camera, screen and microphone take half at most."""

MAX_CREDIT = 1_000_000
"""What may come at once: half a second's worth, a few key frames, or what waited while the loop was held up."""

LEARN_COST = 50_000
"""Bytes by which the first packet of a stream counts for more: the whole room is wired anew for it. Some 60 a second,
where a browser begins a handful in a call."""

RTCP_COST, RTCP_BYTE_COST = 2_000, 10
"""The same for a packet of reports and requests, and for each byte of it: it is taken apart in Python, word by word.
Hundreds a second still pass, ten times what a browser sends that loses packets from four others."""

REPORT_SECONDS = 0.1
"""A publisher's sender reports are passed on no more often: browsers send one every second or five."""

STUN_PER_SECOND = 400
"""From one address: a browser that connects sends 20 to 40 checks a second, and a whole station may share one."""

DTLS_PER_SECOND = 200
"""From one participant; a handshake takes about ten."""

_MAX_SOURCES = 8192


def refill(credit: int, seconds: float) -> int:
    """Return a participant's credit in bytes after so long a time."""
    return min(MAX_CREDIT, max(0, credit) + int(CREDIT_PER_SECOND * seconds))


class FloodGate:
    """Counts events by source within the present second; bounded in memory, whatever addresses are forged."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._second = -1
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """Return how many sources are counted at the moment."""
        return len(self._counts)

    def passes(self, source: Hashable, limit: int, *, now: float) -> bool:
        """Count one event; say whether the source stays within `limit` a second.

        Where more sources come than can be counted, those beyond pass: to refuse them would shut out newcomers.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts.get(source, 0) + 1
        if count == 1 and len(self._counts) >= _MAX_SOURCES:
            return True
        self._counts[source] = count
        return count <= limit
