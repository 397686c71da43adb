"""One line of the audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One deed; actor is "staff:…", "phone-session:…" or "system:reminders", subject "appointment:…", "incident:…"."""

    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]


def actor_of(by: str) -> str:
    """Return the audit's actor for a deed's `by`: a staff id, or already "system:<what>", "phone:<session id>"."""
    return by if ":" in by else f"staff:{by}"
