"""What the witness signed, and how."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, Integer, String, Table, Text, insert, select

from video_server.core.database import METADATA, Connection, UtcDateTime

signatures = Table(  # the primary key makes it one
    "statement_signatures",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("shown", Text, nullable=False),
    Column("shown_sha256", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("strokes", JSON, nullable=False),
    Column("typed", String(120), nullable=False),
    Column("signed_at", UtcDateTime, nullable=False),
    Column("session_id", String(32), nullable=False),
    Column("participant_id", String(32), nullable=False),
    Column("device", String(80), nullable=False),
    Column("word", String(10), nullable=False),
)


async def insert_signature(db: Connection, values: Mapping[str, Any]) -> None:
    await db.execute(insert(signatures).values(**values))


async def find_signed_digest(db: Connection, statement_id: str) -> str | None:
    found: str | None = await db.scalar(
        select(signatures.c.shown_sha256).where(signatures.c.statement_id == statement_id)
    )
    return found
