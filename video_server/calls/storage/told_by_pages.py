"""What pages tell of themselves: what they send, and how the call was in figures."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Boolean, Column, Float, Integer, Row, String, Table, insert, or_, select, update

from video_server.calls.model import Sending
from video_server.calls.quality import Stretch
from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

sending = Table(
    "sending",
    METADATA,
    Column("participant_id", String(32), primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("muted", Boolean, nullable=False),
    Column("camera_off", Boolean, nullable=False),
    Column("audio_only", Boolean, nullable=False),
)

quality = Table(
    "quality",
    METADATA,
    Column("participant_id", String(32), primary_key=True),
    Column("began_at", UtcDateTime, primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("up_bits_per_second", Float, nullable=False),
    Column("up_loss", Float, nullable=False),
    Column("up_jitter_ms", Float, nullable=False),
    Column("down_bits_per_second", Float, nullable=False),
    Column("down_loss", Float, nullable=False),
    Column("down_jitter_ms", Float, nullable=False),
    Column("round_trip_ms", Float),
    Column("rung", String(20), nullable=False),
    Column("freezes", Integer, nullable=False),
    Column("concealed", Float, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
)


async def set_sending(db: Connection, appointment_id: str, said: Sending) -> bool:
    """Note what a page sends; False when that is no news."""
    values = {"muted": said.muted, "camera_off": said.camera_off, "audio_only": said.audio_only}
    try:
        async with db.begin_nested():
            await db.execute(
                insert(sending).values(appointment_id=appointment_id, participant_id=said.participant_id, **values)
            )
            return True
    except IntegrityError:
        pass
    differs = or_(*(sending.c[name] != value for name, value in values.items()))
    changed = await db.execute(
        update(sending).where(sending.c.participant_id == said.participant_id, differs).values(**values)
    )
    return changed.rowcount == 1


async def list_sending(db: Connection, appointment_id: str) -> Sequence[Sending]:
    rows = await db.execute(
        select(sending).where(sending.c.appointment_id == appointment_id).order_by(sending.c.participant_id)
    )
    return [_sending(row) for row in rows]


async def insert_stretch(db: Connection, appointment_id: str, stretch: Stretch) -> None:
    """Keep a stretch of a call's figures; the same one a second time changes nothing."""
    with suppress(IntegrityError):
        async with db.begin_nested():
            await db.execute(insert(quality).values(appointment_id=appointment_id, **vars(stretch)))


async def list_stretches(db: Connection, appointment_id: str) -> Sequence[Stretch]:
    rows = await db.execute(
        select(*(column for column in quality.c if column.name != "appointment_id"))
        .where(quality.c.appointment_id == appointment_id)
        .order_by(quality.c.began_at, quality.c.participant_id)
    )
    return [Stretch(**row._mapping) for row in rows]


def _sending(row: Row[Any]) -> Sending:
    return Sending(row.participant_id, row.muted, row.camera_off, row.audio_only)
