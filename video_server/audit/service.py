"""Write and read the audit."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from video_server.audit import storage
from video_server.audit.model import Entry
from video_server.core.database import Connection


async def record(
    db: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Append one entry in the caller's transaction, so that the deed and its record stand or fall together.

    actor    "staff:<id>", "phone-session:<session id>", "system:<what>"
    action   "<slice>.<what was done>", such as "appointments.booked"
    subject  "appointment:<id>", "incident:<id>", "staff:<id>"
    details  small JSON of ids and codes; never personal data
    """
    await storage.insert_entry(db, at=now, actor=actor, action=action, subject=subject, details=details or {})


async def list_for(db: Connection, subject: str, *, limit: int = 500) -> Sequence[Entry]:
    """Return what was done to a subject, oldest first."""
    return await storage.list_entries(db, subject=subject, limit=limit)


async def list_deeds(db: Connection, *, action: str, subjects: Collection[str]) -> Sequence[Entry]:
    """Return every entry of one action on any of these subjects, oldest first."""
    return await storage.list_deeds(db, action=action, subjects=subjects) if subjects else []
