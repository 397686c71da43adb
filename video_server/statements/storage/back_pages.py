"""The back page of a statement, apart from it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, String, Table, insert, select, update

from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

back_pages = Table(  # never served with the statement
    "statement_back_pages",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("answers", JSON, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", String(32), nullable=False),
)


async def save_back_page(
    db: Connection, statement_id: str, *, answers: Mapping[str, Any], by: str, now: datetime
) -> None:
    values = {"answers": dict(answers), "saved_at": now, "saved_by": by}
    try:
        async with db.begin_nested():
            await db.execute(insert(back_pages).values(statement_id=statement_id, **values))
    except IntegrityError:
        await db.execute(update(back_pages).where(back_pages.c.statement_id == statement_id).values(**values))


async def find_back_page(db: Connection, statement_id: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = await db.scalar(
        select(back_pages.c.answers).where(back_pages.c.statement_id == statement_id)
    )
    return found
