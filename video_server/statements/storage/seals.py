"""Signed PDFs, and which of them still wait for the evidence store."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, insert, or_, select, update

from video_server.core.database import METADATA, Connection, UtcDateTime

seals = Table(
    "statement_seals",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("object_id", String(32), nullable=False, unique=True),
    Column("incident", String(32), nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", UtcDateTime),
    Column("claim_id", String(32)),
    Column("claimed_until", UtcDateTime),
    Column("fault", String(40)),
    Column("sealed_at", UtcDateTime),
    Index("ix_statement_seals_due", "next_try_at"),
)


@dataclass(frozen=True)
class Seal:
    """A signed PDF on its way to the evidence store."""

    statement_id: str
    object_id: str
    incident: str
    pdf: bytes
    sha256: str
    made_at: datetime
    attempts: int
    claim_id: str


async def insert_seal(db: Connection, values: Mapping[str, Any]) -> None:
    await db.execute(insert(seals).values(attempts=0, **values))


async def has_due(db: Connection, *, now: datetime) -> bool:
    return await db.scalar(select(seals.c.statement_id).where(*_due(now)).limit(1)) is not None


async def claim_next(db: Connection, *, claim_id: str, now: datetime, until: datetime) -> Seal | None:
    """Take the longest waiting PDF for yourself until `until`; on PostgreSQL others step over it meanwhile."""
    oldest = select(seals.c.statement_id).where(*_due(now)).order_by(seals.c.next_try_at).limit(1)
    if db.dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)
    statement_id = await db.scalar(oldest)
    if statement_id is None:
        return None
    taken = await db.execute(
        update(seals)
        .where(seals.c.statement_id == statement_id, *_due(now))
        .values(claim_id=claim_id, claimed_until=until, attempts=seals.c.attempts + 1)
    )
    if taken.rowcount != 1:
        return None
    row = (await db.execute(select(seals).where(seals.c.statement_id == statement_id))).one()
    names = ("statement_id", "object_id", "incident", "pdf", "sha256", "made_at", "attempts", "claim_id")
    return Seal(**{name: row._mapping[name] for name in names})


def _due(now: datetime) -> Collection[Any]:
    return (
        seals.c.sealed_at.is_(None),
        seals.c.next_try_at <= now,
        or_(seals.c.claimed_until.is_(None), seals.c.claimed_until < now),
    )


async def mark_sealed(db: Connection, statement_id: str, *, now: datetime) -> bool:
    """Note the store's acknowledgement; False when it was noted before."""
    done = await db.execute(
        update(seals)
        .where(seals.c.statement_id == statement_id, seals.c.sealed_at.is_(None))
        .values(sealed_at=now, claim_id=None, claimed_until=None, next_try_at=None, fault=None)
    )
    return done.rowcount == 1


async def put_back(db: Connection, seal: Seal, *, next_try_at: datetime, fault: str) -> None:
    await db.execute(
        update(seals)
        .where(seals.c.statement_id == seal.statement_id, seals.c.claim_id == seal.claim_id)
        .values(claim_id=None, claimed_until=None, next_try_at=next_try_at, fault=fault)
    )


async def find_pdf(db: Connection, statement_id: str) -> bytes | None:
    found: bytes | None = await db.scalar(select(seals.c.pdf).where(seals.c.statement_id == statement_id))
    return found
