"""Values of the pages."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from evidence_store.tokens import Scope, Token
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

    def token(self, break_glass: Collection[str]) -> Token:
        """Return what they may do, as the API knows it: the same rules hold, and the ledger names the person.

        break_glass     roles that may also break the glass
        """
        scopes = ROLES.get(self.role, frozenset())
        if self.role in break_glass:
            scopes |= {Scope.BREAK_GLASS}
        return Token(self.id[:12], self.person, scopes, self.incident, kind="staff")
