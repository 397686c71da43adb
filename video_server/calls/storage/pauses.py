"""Pauses of a call: asked for, begun, ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Integer, String, Table, insert, select, text, update

from video_server.calls.model import Participant, Pause
from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

pauses = Table(
    "pauses",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("asked_at", UtcDateTime),
    Column("asked_by", String(32)),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index(  # one pause at a time, whoever presses when
        "uq_pauses_open",
        "appointment_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)


async def ask_pause(db: Connection, person: Participant, *, now: datetime) -> bool:
    """Note that a pause is asked for, unless one goes on or is asked for already."""
    return await _insert_pause(db, person.appointment_id, asked_at=now, asked_by=person.id)


async def begin_pause(db: Connection, appointment_id: str, *, now: datetime) -> bool:
    """Begin a pause, the one that was asked for if there is; False when one goes on."""
    asked = await db.execute(
        update(pauses)
        .where(pauses.c.appointment_id == appointment_id, pauses.c.ended_at.is_(None), pauses.c.began_at.is_(None))
        .values(began_at=now)
    )
    return asked.rowcount == 1 or await _insert_pause(db, appointment_id, began_at=now)


async def end_pause(db: Connection, appointment_id: str, *, now: datetime) -> bool:
    """End the pause, or decline what was asked; False when there is none."""
    ended = await db.execute(
        update(pauses)
        .where(pauses.c.appointment_id == appointment_id, pauses.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    return ended.rowcount == 1


async def list_pauses(db: Connection, appointment_id: str) -> Sequence[Pause]:
    rows = await db.execute(select(pauses).where(pauses.c.appointment_id == appointment_id).order_by(pauses.c.id))
    return [Pause(row.asked_at, row.asked_by, row.began_at, row.ended_at) for row in rows]


async def _insert_pause(db: Connection, appointment_id: str, **values: Any) -> bool:
    try:
        async with db.begin_nested():
            await db.execute(insert(pauses).values(appointment_id=appointment_id, **values))
    except IntegrityError:
        return False
    return True
