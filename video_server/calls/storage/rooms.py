"""Rooms: which relay holds one, and how it ended."""

from datetime import datetime

from sqlalchemy import Column, Integer, String, Table, insert, select, update

from video_server.calls.model import Room
from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

rooms = Table(
    "rooms",
    METADATA,
    Column("appointment_id", String(32), primary_key=True),
    Column("relay", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(40)),
)


async def ensure_room(db: Connection, appointment_id: str, *, now: datetime) -> None:
    """Make the room's row unless it exists."""
    try:
        async with db.begin_nested():
            await db.execute(insert(rooms).values(appointment_id=appointment_id, relay="", epoch=0, opened_at=now))
    except IntegrityError:
        return


async def find_room(db: Connection, appointment_id: str) -> Room | None:
    row = (await db.execute(select(rooms).where(rooms.c.appointment_id == appointment_id))).first()
    return Room(**row._mapping) if row else None


async def place_room(db: Connection, appointment_id: str, *, relay: str, epoch: int) -> bool:
    """Give the room to a relay under a new epoch; False when somebody else has moved it meanwhile, or it has ended."""
    placed = await db.execute(
        update(rooms)
        .where(rooms.c.appointment_id == appointment_id, rooms.c.epoch == epoch - 1, rooms.c.ended_at.is_(None))
        .values(relay=relay, epoch=epoch)
    )
    return placed.rowcount == 1


async def lock_room(db: Connection, appointment_id: str) -> None:
    """Let decisions about one room wait for each other (PostgreSQL; on SQLite every writer waits anyway)."""
    await db.execute(select(rooms.c.epoch).where(rooms.c.appointment_id == appointment_id).with_for_update())


async def end_room(db: Connection, appointment_id: str, *, outcome: str, now: datetime) -> None:
    await db.execute(
        update(rooms)
        .where(rooms.c.appointment_id == appointment_id, rooms.c.ended_at.is_(None))
        .values(ended_at=now, outcome=outcome)
    )
