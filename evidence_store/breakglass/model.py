"""A glass that was broken."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Glass:
    """That a token may look at and read what is of another incident for a while: one object, or, without one, all."""

    id: str
    object: str | None
    incident: str
    token: str
    actor: str
    reason: str
    opened_at: datetime
    ends_at: datetime
