"""The table of broken glasses; rows are added and never changed."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, insert, select

from evidence_store.breakglass.model import Glass
from evidence_store.database import METADATA, Connection, UtcDateTime

_GLASSES = Table(
    "glasses",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("object", String(32), ForeignKey("objects.id", name="fk_glasses_object")),
    Column("incident", String(64), nullable=False),
    Column("token", String(64), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("reason", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Index("ix_glasses_object_token", "object", "token"),
    Index("ix_glasses_incident_token", "incident", "token"),
)


async def insert_glass(db: Connection, glass: Glass) -> None:
    """Note that the glass was broken."""
    await db.execute(insert(_GLASSES).values(asdict(glass)))


async def find_glass(db: Connection, glass_id: str) -> Glass | None:
    """Return what was broken under this id, or None."""
    row = (await db.execute(select(_GLASSES).where(_GLASSES.c.id == glass_id))).first()
    return Glass(**row._asdict()) if row else None


async def list_all(db: Connection) -> list[Glass]:
    """Return every glass that was ever broken, for who checks them against the ledger."""
    return [Glass(**row._asdict()) for row in await db.execute(select(_GLASSES))]


async def find_open(
    db: Connection, token_id: str, *, incident: str, object_id: str | None = None, now: datetime
) -> Glass | None:
    """Return the glass by which this token may read now what an incident has, or one object of it; or None."""
    reaches = _GLASSES.c.object.is_(None) | (_GLASSES.c.object == object_id)
    mine = (_GLASSES.c.token == token_id) & (_GLASSES.c.incident == incident) & (_GLASSES.c.ends_at > now) & reaches
    row = (await db.execute(select(_GLASSES).where(mine).order_by(_GLASSES.c.ends_at.desc()).limit(1))).first()
    return Glass(**row._asdict()) if row else None


async def list_on_incident(db: Connection, incident: str) -> Sequence[Glass]:
    """Return the glasses that opened a whole incident, oldest first."""
    whole = (_GLASSES.c.incident == incident) & _GLASSES.c.object.is_(None)
    rows = await db.execute(select(_GLASSES).where(whole).order_by(_GLASSES.c.opened_at, _GLASSES.c.id))
    return [Glass(**row._asdict()) for row in rows]
