"""API tokens: signed, with scopes, an end, and perhaps one incident; made by `evidence-store token issue`.

What a token says is signed and counts as it stands; that it still holds is a row in the database, by its id, with the
digest of a secret in it: ids stand in the ledger, and token.key with an id must not be enough to make one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from evidence_store.errors import Forbidden, TokenExpired, Unauthorized
from evidence_store.sealing import signing


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    READ_OWN = "read-own"
    """Single objects by id that came by a grant, or that a token of this name sealed; no search. What web needs."""
    SEAL = "seal"
    UPLOAD_GRANT = "upload-grant"
    LEDGER = "ledger"
    QUARANTINE = "quarantine"
    """See and read what is in quarantine."""
    RELEASE = "release"
    """Take an object out of quarantine."""
    ANNOTATE = "annotate"
    HOLD = "hold"
    RETENTION = "retention"
    REVIEW = "review"
    DISPOSE = "dispose"
    BREAK_GLASS = "break-glass"
    """Open an object of another incident, with a reason, for minutes, alarming the supervisors."""
    TRAIL = "trail"
    EXPORT = "export"


@dataclass(frozen=True)
class Token:
    """What a genuine token says. `incident` None means every incident; `name` stands in the ledger.

    per_minute  how often it may ask, where that is not as the store's setting says
    secret_sha256   digest of its secret, which stands in the token alone; empty in one that has none
    `kind` is "staff" for a person who is in by the pages: they may do what their role says, by the same rules.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    incident: str | None
    per_minute: int | None = None
    expires_at: datetime | None = None
    kind: str = "token"
    secret_sha256: str = ""

    @property
    def actor(self) -> str:
        """Who the ledger names."""
        return f"{self.kind}:{self.name}:{self.id}"

    def require(self, *scopes: Scope) -> None:
        """Pass when the token has one of these scopes. Raises Forbidden."""
        if not self.scopes & set(scopes):
            raise Forbidden(f"This needs the scope '{scopes[0].value}'.")

    def sees(self, incident: str) -> bool:
        """Say whether objects of this incident exist for the token's holder."""
        return self.incident is None or self.incident == incident


def new_token_id() -> str:
    """Return an id for a new token: 48 random bits as 12 hex digits; it stands in the ledger beside its name."""
    return signing.new_id()[:12]


def make_token(
    key: bytes,
    *,
    token_id: str,
    scopes: Iterable[Scope],
    name: str,
    incident: str | None,
    lasts: timedelta,
    now: datetime,
    per_minute: int | None = None,
) -> str:
    """Return a signed token. It counts once its id is in the database (`admission.service.issue`)."""
    payload = {
        "id": token_id,
        "name": name,
        "scopes": sorted(scope.value for scope in scopes),
        "incident": incident,
        "per_minute": per_minute,
        "secret": signing.new_id(),
        "expires": int((now + lasts).timestamp()),
    }
    return signing.sign(key, "token1", payload)


def open_token(key: bytes, value: str, *, now: datetime) -> Token:
    """Return what a token says. Raises Unauthorized."""
    try:
        said = signing.open_signed(key, "token1", value)
    except signing.NotGenuine:
        raise Unauthorized("The token is not genuine.") from None
    expires_at = datetime.fromtimestamp(said["expires"], UTC)
    found = Token(
        said["id"], said["name"], frozenset(map(Scope, said["scopes"])), said["incident"], said.get("per_minute"),
        expires_at, secret_sha256=signing.sha256_hex(said["secret"].encode()) if "secret" in said else "",
    )  # fmt: skip
    if expires_at <= now:
        raise TokenExpired("The token has expired.", actor=found.actor)
    return found
