"""News on its way to the web server."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Event:
    """News for the web server; `body` is sent as it stands at every try."""

    id: str
    body: str
    attempts: int
    next_at: datetime
