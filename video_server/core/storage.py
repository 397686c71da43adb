"""The events table: what another process must learn, written in the same transaction as the change."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Column, Integer, String, Table, delete, func, insert, select, text

from video_server.core.database import METADATA, Connection, UtcDateTime
from video_server.core.model import Event

events = Table(
    "events",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", String(40), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

_ORDER_LOCK = 7_401_101  # any constant: PostgreSQL hands out ids before commit, so without it a reader could skip one


async def insert_event(db: Connection, topic: str, reference: str, *, now: datetime) -> None:
    """Append one event; on PostgreSQL in commit order, and listeners are woken at commit."""
    if db.dialect.name == "postgresql":
        await db.execute(select(func.pg_advisory_xact_lock(_ORDER_LOCK)))
        await db.execute(text("SELECT pg_notify('events', '')"))
    await db.execute(insert(events).values(topic=topic, reference=reference, at=now))


async def latest_event_id(db: Connection) -> int:
    """Return the highest id, 0 when there is none."""
    return int(await db.scalar(select(func.coalesce(func.max(events.c.id), 0))) or 0)


async def list_events_since(db: Connection, after_id: int, *, limit: int) -> Sequence[Event]:
    """Return events with an id above `after_id`, oldest first."""
    rows = await db.execute(select(events).where(events.c.id > after_id).order_by(events.c.id).limit(limit))
    return [Event(row.id, row.topic, row.reference) for row in rows]


async def delete_events_before(db: Connection, before: datetime) -> int:
    """Drop old wake-ups; rows they pointed at are the truth and stay."""
    return (await db.execute(delete(events).where(events.c.at < before))).rowcount
