"""API tokens: signed, with scopes, an end, and perhaps one incident; made by `evidence-store token`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from evidence_store.errors import Forbidden, Unauthorized
from evidence_store.sealing import signing


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    SEAL = "seal"
    UPLOAD_GRANT = "upload-grant"
    LEDGER = "ledger"
    QUARANTINE = "quarantine"
    ANNOTATE = "annotate"
    HOLD = "hold"
    RETENTION = "retention"
    REVIEW = "review"
    DISPOSE = "dispose"
    TRAIL = "trail"


@dataclass(frozen=True)
class Token:
    """What a genuine token says. `incident` None means every incident; `name` stands in the ledger."""

    id: str
    name: str
    scopes: frozenset[Scope]
    incident: str | None

    @property
    def actor(self) -> str:
        """Who the ledger names."""
        return f"token:{self.name}:{self.id}"

    def require(self, scope: Scope) -> None:
        """Pass when the token has the scope. Raises Forbidden."""
        if scope not in self.scopes:
            raise Forbidden(f"This needs the scope '{scope.value}'.")

    def sees(self, incident: str) -> bool:
        """Say whether objects of this incident exist for the token's holder."""
        return self.incident is None or self.incident == incident


def make_token(
    key: bytes, *, scopes: Iterable[Scope], name: str, incident: str | None, lasts: timedelta, now: datetime
) -> str:
    """Return a signed token. Its random id stands in the ledger beside its name."""
    payload = {
        "id": signing.new_id()[:12],
        "name": name,
        "scopes": sorted(scope.value for scope in scopes),
        "incident": incident,
        "expires": int((now + lasts).timestamp()),
    }
    return signing.sign(key, "token1", payload)


def is_genuine(key: bytes, value: str, *, now: datetime) -> bool:
    """Say whether a token was made under this key and is valid now."""
    try:
        open_token(key, value, now=now)
    except Unauthorized:
        return False
    return True


def open_token(key: bytes, value: str, *, now: datetime) -> Token:
    """Return what a token says. Raises Unauthorized."""
    try:
        said = signing.open_signed(key, "token1", value)
    except signing.NotGenuine:
        raise Unauthorized("The token is not genuine.") from None
    if said["expires"] <= now.timestamp():
        raise Unauthorized("The token has expired.")
    return Token(said["id"], said["name"], frozenset(map(Scope, said["scopes"])), said["incident"])
