"""Plain values of the core."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """A wake-up: something about `reference` under `topic` has changed; look at the rows."""

    id: int
    topic: str
    reference: str
