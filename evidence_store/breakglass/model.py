"""A glass that was broken."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Glass:
    """That a token may look at and read one object for a while, though it is of another incident."""

    id: str
    object: str
    incident: str
    token: str
    actor: str
    reason: str
    opened_at: datetime
    ends_at: datetime
