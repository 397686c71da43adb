"""The officer's note, over the version a page holds."""

from datetime import datetime

from sqlalchemy import Column, Integer, String, Table, Text, insert, select, update

from video_server.calls.model import Note
from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

notes = Table(
    "notes",
    METADATA,
    Column("appointment_id", String(32), primary_key=True),
    Column("text", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", String(32), nullable=False),
)


async def find_note(db: Connection, appointment_id: str) -> Note:
    row = (await db.execute(select(notes).where(notes.c.appointment_id == appointment_id))).first()
    return Note(row.text, row.version, row.saved_at) if row else Note("", 0, None)


async def save_note(db: Connection, appointment_id: str, *, text: str, version: int, by: str, now: datetime) -> bool:
    """Write version + 1 over `version`; False when another version stands there."""
    values = {"text": text, "saved_at": now, "saved_by": by, "version": version + 1}
    if version == 0:
        try:
            async with db.begin_nested():
                await db.execute(insert(notes).values(appointment_id=appointment_id, **values))
        except IntegrityError:
            return False
        return True
    saved = await db.execute(
        update(notes).where(notes.c.appointment_id == appointment_id, notes.c.version == version).values(**values)
    )
    return saved.rowcount == 1
