"""What the booth is alarmed by."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Row, String, Table, insert, select, update

from video_server.calls.model import Alert, AlertKind
from video_server.core.database import METADATA, Connection, UtcDateTime

alerts = Table(
    "alerts",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("dismissed_at", UtcDateTime),
    Column("dismissed_by", String(32)),
)


async def insert_alert(db: Connection, alert: Alert) -> None:
    await db.execute(insert(alerts).values(**vars(alert)))


async def find_alert(db: Connection, alert_id: str) -> Alert | None:
    row = (await db.execute(select(alerts).where(alerts.c.id == alert_id))).first()
    return _alert(row) if row else None


async def dismiss_alert(db: Connection, alert_id: str, *, by: str, now: datetime) -> bool:
    done = await db.execute(
        update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.dismissed_at.is_(None))
        .values(dismissed_at=now, dismissed_by=by)
    )
    return done.rowcount == 1


async def list_alerts(db: Connection, appointment_ids: Collection[str]) -> Sequence[Alert]:
    rows = await db.execute(
        select(alerts).where(alerts.c.appointment_id.in_(appointment_ids)).order_by(alerts.c.at, alerts.c.id)
    )
    return [_alert(row) for row in rows]


def _alert(row: Row[Any]) -> Alert:
    return Alert(**{**row._mapping, "kind": AlertKind(row.kind)})
