"""What the witness said of each paragraph."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, Table, insert, select, update

from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime
from video_server.statements.model import Answer

confirmations = Table(
    "statement_confirmations",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("paragraph", String(64), primary_key=True),
    Column("answer", String(10), nullable=False),
    Column("answered_at", UtcDateTime, nullable=False),
    Column("session_id", String(32), nullable=False),
)


async def save_answer(
    db: Connection, statement_id: str, paragraph: str, answer: Answer, *, session_id: str, now: datetime
) -> bool:
    """Keep the newest answer to a paragraph; False when this session has given it already."""
    values = {"answer": answer, "answered_at": now, "session_id": session_id}
    mine = (confirmations.c.statement_id == statement_id, confirmations.c.paragraph == paragraph)
    row = (await db.execute(select(confirmations.c.answer, confirmations.c.session_id).where(*mine))).first()
    if row is not None and (row.answer, row.session_id) == (answer, session_id):
        return False
    try:
        async with db.begin_nested():
            await db.execute(insert(confirmations).values(statement_id=statement_id, paragraph=paragraph, **values))
    except IntegrityError:
        await db.execute(update(confirmations).where(*mine).values(**values))
    return True


async def list_answers(db: Connection, statement_id: str, *, session_id: str | None) -> Mapping[str, Answer]:
    """Return the answers by paragraph, those of one session when it is named."""
    found = select(confirmations.c.paragraph, confirmations.c.answer).where(
        confirmations.c.statement_id == statement_id
    )
    if session_id is not None:
        found = found.where(confirmations.c.session_id == session_id)
    return {row.paragraph: Answer(row.answer) for row in await db.execute(found)}
