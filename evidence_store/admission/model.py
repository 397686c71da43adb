"""A token as the database knows it, and a request that may be sent again."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Issued:
    """One token that was issued. `scopes` are words with spaces between; `incident` None means every incident.

    secret_sha256   digest of the secret in the token; empty of one that an earlier version of this program issued
    """

    id: str
    name: str
    scopes: str
    incident: str | None
    per_minute: int | None
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoke_reason: str = ""
    secret_sha256: str = ""

    def state(self, now: datetime) -> str:
        """Return in a word whether it still opens anything."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= now else "valid"


@dataclass(frozen=True)
class Repeat:
    """A request with an Idempotency-Key; `status` None until it was carried out."""

    id: str
    body_sha256: str
    made_at: datetime
    status: int | None = None
    answer: str = ""
