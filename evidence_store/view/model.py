"""Values of the pages."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from evidence_store.tokens import Token
from evidence_store.view.tickets import ROLES

LASTS = timedelta(hours=4)
IDLE = timedelta(minutes=30)


@dataclass(frozen=True)
class Session:
    """One person's visit, from a ticket until it ends. `person` stands in the ledger, `title` is what pages show."""

    id: str
    ticket: str
    person: str
    title: str
    role: str
    incident: str | None
    reference: str
    home: str
    opened_at: datetime
    seen_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Say whether the person is still in."""
        return self.ended_at is None and now < self.ends_at and now - self.seen_at < IDLE

    @property
    def token(self) -> Token:
        """What they may do, as the API knows it: the same rules hold, and the ledger names the person."""
        return Token(self.id[:12], self.person, ROLES.get(self.role, frozenset()), self.incident, kind="staff")
