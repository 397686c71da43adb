"""The table of news for the web server, and all its SQL. A row is written in the transaction of what happened."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Integer, Row, String, Table, Text, func, insert, select, update

from evidence_store.database import METADATA, Connection, UtcDateTime
from evidence_store.notify.model import Event

_EVENTS = Table(
    "events",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("made_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime, index=True),
    Column("seal", String(43), nullable=False, server_default=""),
)


async def insert_event(db: Connection, event: Event) -> None:
    """Queue news for the web server, in the transaction of what happened."""
    await db.execute(insert(_EVENTS).values(asdict(event) | {"made_at": event.next_at}))


async def list_due_events(db: Connection, *, now: datetime, limit: int) -> Sequence[Event]:
    """Return undelivered events whose turn it is, oldest first."""
    due = _EVENTS.c.delivered_at.is_(None) & (_EVENTS.c.next_at <= now)
    rows = await db.execute(select(_EVENTS).where(due).order_by(_EVENTS.c.made_at, _EVENTS.c.id).limit(limit))
    return [_event(row) for row in rows]


async def list_waiting(db: Connection, *, after: str, limit: int) -> Sequence[Event]:
    """Return undelivered events by id, behind the id `after`."""
    waiting = _EVENTS.c.delivered_at.is_(None) & (_EVENTS.c.id > after)
    rows = await db.execute(select(_EVENTS).where(waiting).order_by(_EVENTS.c.id).limit(limit))
    return [_event(row) for row in rows]


async def set_seal(db: Connection, event: Event, *, before: str) -> bool:
    """Keep the seal of an event in place of the one `before`; False when it has another by now."""
    same = (_EVENTS.c.id == event.id) & (_EVENTS.c.seal == before)
    return (await db.execute(update(_EVENTS).where(same).values(seal=event.seal))).rowcount == 1


def _event(row: Row[Any]) -> Event:
    return Event(row.id, row.body, row.attempts, row.next_at, row.seal)


async def claim_event(db: Connection, event: Event, *, next_at: datetime) -> bool:
    """Take an event for one try; False when another process has it."""
    mine = (_EVENTS.c.id == event.id) & (_EVENTS.c.attempts == event.attempts) & _EVENTS.c.delivered_at.is_(None)
    taken = await db.execute(update(_EVENTS).where(mine).values(attempts=event.attempts + 1, next_at=next_at))
    return taken.rowcount == 1


async def delay_event(db: Connection, event_id: str, *, next_at: datetime) -> None:
    """Set when an event that was not taken is tried next."""
    await db.execute(update(_EVENTS).where(_EVENTS.c.id == event_id).values(next_at=next_at))


async def set_event_delivered(db: Connection, event_id: str, *, now: datetime) -> None:
    """Note that the web server has taken the news."""
    await db.execute(update(_EVENTS).where(_EVENTS.c.id == event_id).values(delivered_at=now))


async def count_waiting_events(db: Connection) -> int:
    """Return how many events are not delivered."""
    waiting = select(func.count()).select_from(_EVENTS).where(_EVENTS.c.delivered_at.is_(None))
    return int((await db.execute(waiting)).scalar_one())


async def find_oldest_waiting_event(db: Connection) -> datetime | None:
    """Return when the news was made that waits longest for the web server, None when none waits."""
    waiting = select(func.min(_EVENTS.c.made_at)).where(_EVENTS.c.delivered_at.is_(None))
    found: datetime | None = (await db.execute(waiting)).scalar_one()
    return found
