"""What a reader and an interpreter signed, by the digest of the text it holds for."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, Table, insert, select

from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime
from video_server.statements.certificates import Interpretation, Reading, SignedAt

readings = Table(  # appended: a certificate holds for one text only
    "statement_readings",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("shown_sha256", String(64), primary_key=True),
    Column("typed", String(120), nullable=False),
    Column("declared_at", UtcDateTime, nullable=False),
    Column("declared_by", String(32), nullable=False),
)


interpretations = Table(  # appended: a declaration holds for one text in both languages only
    "statement_interpretations",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("shown_sha256", String(64), primary_key=True),
    Column("typed", String(120), nullable=False),
    Column("declared_at", UtcDateTime, nullable=False),
    Column("signed_where", String(10), nullable=False),
    Column("declared_by", String(32), nullable=False),
    Column("device", String(80), nullable=False),
)


async def insert_reading(
    db: Connection, statement_id: str, *, shown_sha256: str, typed: str, by: str, now: datetime
) -> bool:
    """Keep the reader's certificate; False when there is one for this text already."""
    values = {"typed": typed, "declared_at": now, "declared_by": by}
    try:
        async with db.begin_nested():
            await db.execute(insert(readings).values(statement_id=statement_id, shown_sha256=shown_sha256, **values))
    except IntegrityError:
        return False
    return True


async def list_readings(db: Connection, statement_id: str) -> Mapping[str, Reading]:
    """Return the reader's certificates by the digest of the text they hold for."""
    found = await db.execute(select(readings).where(readings.c.statement_id == statement_id))
    return {row.shown_sha256: Reading(row.typed, row.declared_at, row.declared_by) for row in found}


async def insert_interpretation(db: Connection, statement_id: str, given: Interpretation, *, shown_sha256: str) -> bool:
    """Keep the interpreter's declaration; False when there is one for this text already."""
    values = {"typed": given.typed, "declared_at": given.declared_at, "signed_where": given.where}
    values |= {"declared_by": given.declared_by, "device": given.device}
    try:
        async with db.begin_nested():
            await db.execute(
                insert(interpretations).values(statement_id=statement_id, shown_sha256=shown_sha256, **values)
            )
    except IntegrityError:
        return False
    return True


async def list_interpretations(db: Connection, statement_id: str) -> Mapping[str, Interpretation]:
    """Return the interpreter's declarations by the digest of the text they hold for."""
    found = await db.execute(select(interpretations).where(interpretations.c.statement_id == statement_id))
    return {
        row.shown_sha256: Interpretation(
            row.typed, row.declared_at, SignedAt(row.signed_where), row.declared_by, row.device
        )
        for row in found
    }
