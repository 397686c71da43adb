"""News on its way to the web server."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Event:
    """News for the web server; `body` is sent as it stands at every try. `seal` is the store's, over id and body."""

    id: str
    body: str
    attempts: int
    next_at: datetime
    seal: str = ""
