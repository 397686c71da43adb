"""Which relay a room goes to. Pure: loads in, a choice out."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

PACKETS_OF_ONE = 300
"""Packets a second, in and out, that a person in a call of two brings; what is expected of who has only just come."""


@dataclass(frozen=True)
class Load:
    """What a relay last said of itself.

    relay                its instance
    packets_per_second   in and out
    promised             people sent there since it said so
    draining             it takes no rooms that it does not hold
    """

    relay: str
    participants: int
    packets_per_second: int
    draining: bool
    promised: int = 0


def choose(loads: Iterable[Load], *, avoid: Collection[str] = ()) -> str | None:
    """Return the relay that has least to do, None when none takes a new room.

    avoid   those that have just refused
    """
    able = [load for load in loads if not load.draining and load.relay not in avoid]
    best = min(able, key=lambda load: (weigh(load), load.relay), default=None)
    return best.relay if best else None


def weigh(load: Load) -> int:
    """Return the packets a second it has to expect: those it counts, at least what its people will bring."""
    return max(load.packets_per_second, load.participants * PACKETS_OF_ONE) + load.promised * PACKETS_OF_ONE
