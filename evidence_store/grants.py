"""Grants and bearers: who may send one file, for how long, and what it may be.

A grant is made by the web server for a person it knows, under the shared grant key: one upload id, one incident, a
size, kinds, a few minutes. Trading it for an upload gives a bearer, made under the store's own key: it can only send
bytes to that upload, and is renewed with a fresh grant of the same incident and reference, so a long upload never
dies of expiry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from evidence_store import kinds
from evidence_store.errors import BearerExpired, GrantRefused, Unauthorized
from evidence_store.model import clean_officer, parse_id, parse_incident
from evidence_store.sealing import signing

GRANT_LASTS = timedelta(minutes=10)
BEARER_LASTS = timedelta(hours=1)
_MAX_GRANT_LASTS = timedelta(minutes=15)
_MAX_REFERENCE_CHARS = 64


@dataclass(frozen=True)
class Grant:
    """What a genuine grant says. `reference` is the web server's own word for who asked; opaque here."""

    upload: str
    incident: str
    reference: str
    officer: str
    max_bytes: int
    kinds: tuple[str, ...]
    expires_at: datetime

    @property
    def actor(self) -> str:
        """Who the ledger names."""
        return f"upload:{self.reference}"


def make_grant(
    key: bytes,
    *,
    incident: str,
    reference: str,
    max_bytes: int,
    kinds: Iterable[str],
    expires_at: datetime,
    upload: str | None = None,
    officer: str = "",
) -> str:
    """Return a signed grant for one upload.

    key         the shared grant key, 32 bytes
    incident    letters, digits and . _ : / -, at most 64
    reference   at most 64 characters, no personal data: it stands in the store's ledger
    kinds       codes (jpeg, mp4 …), groups (photo, video, sound, document) or media types
    expires_at  aware; the store takes nothing longer than 15 minutes ahead; `grants.GRANT_LASTS` is usual
    upload      the id the object will have; a new one when absent
    officer     who asked for it, such as a collar number; evidence is found by it
    Raises      ValueError, or errors.BadRequest for an incident of the wrong form
    """
    if len(reference) > _MAX_REFERENCE_CHARS or max_bytes < 1 or expires_at.tzinfo is None:
        raise ValueError("reference too long, no room for a byte, or a naive time")
    codes = _expand(kinds)
    payload = {
        "upload": parse_id(upload) if upload else signing.new_id(),
        "incident": parse_incident(incident),
        "reference": reference,
        "officer": clean_officer(officer),
        "max_bytes": max_bytes,
        "kinds": list(codes),
        "expires": int(expires_at.timestamp()),
    }
    return signing.sign(key, "grant1", payload)


_expand = kinds.expand  # the name is taken by the parameter


def open_grant(key: bytes, value: str, *, now: datetime) -> Grant:
    """Return what a grant allows. Raises GrantRefused when it is not genuine or not valid now."""
    try:
        said = signing.open_signed(key, "grant1", value)
    except signing.NotGenuine:
        raise GrantRefused("The grant is not genuine.") from None
    expires_at = datetime.fromtimestamp(int(said["expires"]), UTC)
    found = Grant(
        upload=parse_id(said["upload"]),
        incident=parse_incident(said["incident"]),
        reference=str(said["reference"])[:_MAX_REFERENCE_CHARS],
        officer=clean_officer(str(said.get("officer", ""))),
        max_bytes=int(said["max_bytes"]),
        kinds=kinds.expand(said["kinds"]),
        expires_at=expires_at,
    )
    if expires_at <= now:
        raise GrantRefused("The grant has expired.", actor=found.actor, about=found.upload)
    if expires_at > now + _MAX_GRANT_LASTS:
        raise GrantRefused("The grant lasts longer than a grant may.", actor=found.actor, about=found.upload)
    return found


def make_bearer(key: bytes, upload: str, *, now: datetime) -> str:
    """Return what lets its holder send bytes to this upload for an hour."""
    return signing.sign(key, "bearer1", {"upload": upload, "expires": int((now + BEARER_LASTS).timestamp())})


def check_bearer(key: bytes, value: str, upload: str, *, now: datetime) -> None:
    """Pass when the bearer is for this upload and valid now. Raises Unauthorized or BearerExpired."""
    try:
        said = signing.open_signed(key, "bearer1", value)
    except signing.NotGenuine:
        raise Unauthorized("The upload's bearer is not genuine.") from None
    if said["upload"] != upload:
        raise Unauthorized("This bearer is for another upload.", actor=f"bearer:{said['upload']}")
    if said["expires"] <= now.timestamp():
        raise BearerExpired(actor=f"bearer:{upload}")
