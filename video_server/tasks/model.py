"""A task for a person."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Task:
    """Something a person must do. `kind` is a code ("text_failed", "ring_back"); `subject` is "appointment:<id>"."""

    id: str
    kind: str
    subject: str
    note: str
    opened_at: datetime
    due_at: datetime
    done_at: datetime | None = None
    done_by: str | None = None
