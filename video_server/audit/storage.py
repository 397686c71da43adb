"""The audit table."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table, insert, select

from video_server.audit.model import Entry
from video_server.core.database import METADATA, Connection, UtcDateTime

audit = Table(
    "audit",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(80), nullable=False, index=True),
    Column("details", JSON, nullable=False),
    sqlite_autoincrement=True,
)


async def insert_entry(
    db: Connection, *, at: datetime, actor: str, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    await db.execute(insert(audit).values(at=at, actor=actor, action=action, subject=subject, details=dict(details)))


async def list_entries(db: Connection, *, subject: str, limit: int) -> Sequence[Entry]:
    rows = await db.execute(select(audit).where(audit.c.subject == subject).order_by(audit.c.id).limit(limit))
    return [Entry(row.at, row.actor, row.action, row.subject, row.details) for row in rows]


async def list_deeds(db: Connection, *, action: str, subjects: Collection[str]) -> Sequence[Entry]:
    found = select(audit).where(audit.c.subject.in_(subjects), audit.c.action == action).order_by(audit.c.id)
    return [Entry(row.at, row.actor, row.action, row.subject, row.details) for row in await db.execute(found)]
