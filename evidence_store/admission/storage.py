"""The tables of issued tokens (no secrets: what a token may do is signed in itself) and of requests by their keys."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Column, Integer, String, Table, Text, delete, insert, select, update

from evidence_store.admission.model import Issued, Repeat
from evidence_store.database import METADATA, Connection, IntegrityError, UtcDateTime

_TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("incident", String(64)),
    Column("per_minute", Integer),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("revoke_reason", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False, server_default=""),
)

_REPEATS = Table(
    "repeats",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("made_at", UtcDateTime, nullable=False, index=True),
    Column("status", Integer),
    Column("answer", Text, nullable=False),
)


async def insert_token(db: Connection, issued: Issued) -> bool:
    """Note that a token was issued; False when its id is known."""
    try:
        async with db.begin_nested():
            await db.execute(insert(_TOKENS).values(asdict(issued)))
    except IntegrityError:
        return False
    return True


async def find_token(db: Connection, token_id: str) -> Issued | None:
    """Return an issued token, or None."""
    row = (await db.execute(select(_TOKENS).where(_TOKENS.c.id == token_id))).first()
    return Issued(**row._asdict()) if row else None


async def list_tokens(db: Connection) -> Sequence[Issued]:
    """Return every token that was ever issued, oldest first."""
    rows = await db.execute(select(_TOKENS).order_by(_TOKENS.c.issued_at, _TOKENS.c.id))
    return [Issued(**row._asdict()) for row in rows]


async def revoke_token(db: Connection, token_id: str, *, reason: str, now: datetime) -> bool:
    """Note that a token was revoked; False when there is none, or it was before."""
    mine = (_TOKENS.c.id == token_id) & _TOKENS.c.revoked_at.is_(None)
    return (await db.execute(update(_TOKENS).where(mine).values(revoked_at=now, revoke_reason=reason))).rowcount == 1


async def begin_repeat(db: Connection, repeat: Repeat) -> Repeat:
    """Note that a request comes under a key; return what is known of that key, which is this when it is new."""
    try:
        async with db.begin_nested():
            await db.execute(insert(_REPEATS).values(asdict(repeat)))
    except IntegrityError:
        return Repeat(**(await db.execute(select(_REPEATS).where(_REPEATS.c.id == repeat.id))).one()._asdict())
    return repeat


async def end_repeat(db: Connection, repeat_id: str, *, status: int, answer: str) -> None:
    """Keep the answer to a request that was carried out; the first one stays."""
    mine = (_REPEATS.c.id == repeat_id) & _REPEATS.c.status.is_(None)
    await db.execute(update(_REPEATS).where(mine).values(status=status, answer=answer))


async def forget_repeats(db: Connection, *, before: datetime) -> None:
    """Remove what was asked long ago."""
    await db.execute(delete(_REPEATS).where(_REPEATS.c.made_at < before))
