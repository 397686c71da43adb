"""What the booth must see before anything else: raised here, dismissed by a person."""

from collections.abc import Sequence
from datetime import datetime

from video_server.audit import service as audit
from video_server.calls import storage
from video_server.calls.model import Alert, AlertKind, Participant
from video_server.core import events, keys
from video_server.core.database import Connection
from video_server.core.errors import NotFound


async def alarm(db: Connection, person: Participant, kind: AlertKind, *, now: datetime) -> None:
    """Alarm the booth, and whoever looks at the diary."""
    await storage.alerts.insert_alert(db, Alert(keys.new_id(), person.appointment_id, kind, now, None, None))
    await events.record(db, "alerts", person.appointment_id, now=now)


async def dismiss(db: Connection, alert_id: str, *, by: str, now: datetime) -> Alert:
    """Note who has seen an alert; the first stays. Raises NotFound."""
    alert = await storage.alerts.find_alert(db, alert_id)
    if alert is None:
        raise NotFound
    if await storage.alerts.dismiss_alert(db, alert_id, by=by, now=now):
        await audit.record(
            db,
            actor=f"staff:{by}",
            action="calls.alert_dismissed",
            subject=f"appointment:{alert.appointment_id}",
            details={"alert": alert_id, "kind": alert.kind.value},
            now=now,
        )
        await events.record(db, "room", alert.appointment_id, now=now)
    return alert


async def list_open(db: Connection, appointment_ids: Sequence[str]) -> Sequence[Alert]:
    """Return alerts nobody has dismissed yet, oldest first."""
    return [alert for alert in await storage.alerts.list_alerts(db, appointment_ids) if alert.dismissed_at is None]
