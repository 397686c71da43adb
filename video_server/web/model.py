"""Values of the plumbing."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Session:
    """One browser's signed-in or link-opened session.

    id       public: rows may refer to it; the cookie's secret is another value, stored only as a digest
    kind     "staff", "phone" or "guest"
    subject  whose: a staff id, or an appointment id
    """

    id: str
    kind: str
    subject: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Say whether the session may still be used."""
        return self.ended_at is None and now < self.expires_at
