"""Tell of a change to an appointment: texts for the person, audit, and news for other processes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from video_server.appointments import storage
from video_server.appointments.model import Appointment, Guest, GuestRole
from video_server.audit import service as audit
from video_server.audit.model import actor_of
from video_server.core import events
from video_server.core.database import Connection
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.model import Incident
from video_server.texts import service as texts

_SAY_CANCELLED_FOR = timedelta(hours=1)
_SAY_INVITED_FOR = timedelta(hours=1)


def subject_of(appointment: Appointment) -> str:
    """Return how audit, texts and tasks name an appointment."""
    return f"appointment:{appointment.id}"


async def booked(
    db: Connection,
    appointment: Appointment,
    incident: Incident,
    *,
    link_id: str,
    by: str,
    now: datetime,
    force: Force,
) -> None:
    """Queue the text with the link and the reminders."""
    await _record(
        db,
        "appointments.booked",
        appointment,
        by=by,
        now=now,
        officer=appointment.officer_id,
        incident=incident.id,
        starts_at=appointment.starts_at.isoformat(),
    )
    await _queue(db, "booked", appointment, incident, link_id=link_id, expires_at=appointment.ends_at, now=now)
    await _queue_reminders(db, appointment, incident, link_id=link_id, now=now, force=force)
    await changed(db, appointment, now=now)


async def moved(
    db: Connection, before: Appointment, after: Appointment, *, by: str, reason: str | None, now: datetime, force: Force
) -> None:
    """Withdraw what was not sent, say the new time, remind of it."""
    await _record(
        db,
        "appointments.moved",
        after,
        by=by,
        now=now,
        officer=after.officer_id,
        starts_at=after.starts_at.isoformat(),
        was=before.starts_at.isoformat(),
        reason=reason,
    )
    if before.starts_at != after.starts_at:
        incident = await incidents.get_incident(db, after.incident_id)
        link_id = await storage.find_link_of(db, after.id)
        await texts.void(db, subject=subject_of(after), now=now)
        await _queue(db, "moved", after, incident, link_id=link_id, expires_at=after.ends_at, now=now)
        await _queue_reminders(db, after, incident, link_id=link_id, now=now, force=force)
        for guest in await _texted(db, after):
            await _queue(db, "moved", after, incident, guest=guest, expires_at=after.ends_at, now=now)
            await _queue_reminders(db, after, incident, guest=guest, now=now, force=force)
    if before.officer_id != after.officer_id:
        await events.record(db, "diary", before.officer_id, now=now)
    await changed(db, after, now=now)


async def cancelled(db: Connection, appointment: Appointment, *, by: str, now: datetime) -> None:
    """Withdraw what was not sent and say that it is cancelled; where video is not safe, a person says so."""
    await _record(db, "appointments.cancelled", appointment, by=by, now=now, reason=appointment.cancel_reason)
    if appointment.cancel_reason == "not_safe":
        await incidents.hold_contact(db, appointment.person_id, why="cancelled_not_safe", by=by, now=now)
    incident = await incidents.get_incident(db, appointment.incident_id)
    await texts.void(db, subject=subject_of(appointment), now=now)
    expires_at = max(appointment.ends_at, now + _SAY_CANCELLED_FOR)
    for guest in (None, *await _texted(db, appointment)):
        await _queue(db, "cancelled", appointment, incident, guest=guest, expires_at=expires_at, now=now)
    await changed(db, appointment, now=now)


async def ended(db: Connection, appointment: Appointment, *, by: str, now: datetime) -> None:
    """Withdraw what was not sent."""
    await _record(db, "appointments.ended", appointment, by=by, now=now, outcome=appointment.outcome)
    await texts.void(db, subject=subject_of(appointment), now=now)
    await changed(db, appointment, now=now)


async def needs_set(
    db: Connection, appointment: Appointment, needs: Sequence[GuestRole], *, by: str, now: datetime
) -> None:
    """Record who must be present from now on."""
    details = {"needs": [role.value for role in needs], "before": [role.value for role in appointment.needs]}
    await _record(db, "appointments.needs_set", appointment, by=by, now=now, **details)
    await events.record(db, "room", appointment.id, now=now)


async def invited(
    db: Connection, appointment: Appointment, guest: Guest, *, by: str, now: datetime, force: Force
) -> None:
    """Record an invitation; who is to be texted gets the link and the reminders."""
    details = {"guest": guest.id, "role": guest.role.value, "texted": guest.person_id is not None}
    await _record(db, "appointments.guest_invited", appointment, by=by, now=now, **details)
    if guest.person_id is not None:
        incident = await incidents.get_incident(db, appointment.incident_id)
        expires_at = max(appointment.ends_at, now + _SAY_INVITED_FOR)
        await _queue(db, "invited", appointment, incident, guest=guest, expires_at=expires_at, now=now)
        await _queue_reminders(db, appointment, incident, guest=guest, now=now, force=force)
    await events.record(db, "room", appointment.id, now=now)


async def uninvited(db: Connection, guest: Guest, *, by: str, now: datetime) -> None:
    """Record that an invitation was taken back."""
    subject = f"appointment:{guest.appointment_id}"
    details = {"guest": guest.id, "role": guest.role.value}
    action = "appointments.guest_revoked"
    await audit.record(db, actor=actor_of(by), action=action, subject=subject, now=now, details=details)
    await events.record(db, "room", guest.appointment_id, now=now)


async def _texted(db: Connection, appointment: Appointment) -> list[Guest]:
    """Return the guests who are told by text of what becomes of the appointment."""
    return [one for one in await storage.list_guests(db, appointment.id) if one.person_id and not one.revoked_at]


async def changed(db: Connection, appointment: Appointment, *, now: datetime) -> None:
    """Wake whoever shows this appointment: its own pages, its officer's diary, its call."""
    await events.record(db, "appointments", appointment.id, now=now)
    await events.record(db, "diary", appointment.officer_id, now=now)
    await events.record(db, "room", appointment.id, now=now)


async def _record(
    db: Connection, action: str, appointment: Appointment, *, by: str, now: datetime, **details: Any
) -> None:
    await audit.record(db, actor=actor_of(by), action=action, subject=subject_of(appointment), now=now, details=details)


async def _queue_reminders(
    db: Connection,
    appointment: Appointment,
    incident: Incident,
    *,
    link_id: str | None = None,
    guest: Guest | None = None,
    now: datetime,
    force: Force,
) -> None:
    for ahead in force.reminders:
        due_at = appointment.starts_at - ahead
        if due_at > now:
            await _queue(
                db,
                "reminder",
                appointment,
                incident,
                link_id=link_id,
                guest=guest,
                due_at=due_at,
                expires_at=appointment.starts_at,
                now=now,
            )


async def _queue(
    db: Connection,
    kind: str,
    appointment: Appointment,
    incident: Incident,
    *,
    link_id: str | None = None,
    guest: Guest | None = None,
    expires_at: datetime,
    now: datetime,
    due_at: datetime | None = None,
) -> None:
    """Queue a text with its link; to a guest in place of the person, with the guest's own."""
    if guest is not None and kind != "cancelled":
        link_id = guest.id
    await texts.queue(
        db,
        kind=kind,
        person_id=guest.person_id if guest and guest.person_id else appointment.person_id,
        subject=subject_of(appointment),
        link_id=link_id,
        values={"reference": incident.reference, "starts_at": appointment.starts_at.isoformat()},
        due_at=due_at or now,
        expires_at=expires_at,
        now=now,
    )
