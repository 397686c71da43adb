"""Incidents and appointments for tests of appointments, links and the desk."""

from datetime import datetime

from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import Incident, SafeContact, Wording

FORCE = Force()
FINE = Eligibility(adult_or_guardian=True, has_smartphone=True, offender_absent=True, safe_place=True)


def at(clock: str, day: str = "2026-03-02") -> datetime:
    """Return an instant in UTC; on the day of the clock fixture London's clocks show the same."""
    return datetime.fromisoformat(f"{day}T{clock}+00:00")


async def record(database, clock, **changed) -> Incident:
    """Record an incident that fits video."""
    values = {
        "offence_type": "theft",
        "victim_name": "Alex Example",
        "victim_mobile": "+447700900123",
        "language": "en",
        "safe_contact": SafeContact(may_text=True, wording=Wording.NEUTRAL),
        "eligibility": FINE,
        "by": "system:test",
    }
    async with database.begin() as db:
        return await incidents.record_incident(db, **values | changed, now=clock())


async def book(
    database, clock, key_ring, incident, starts_at, *, officer_id=None, by="system:test", **named
) -> Appointment:
    """Book in a transaction of its own."""
    async with database.begin() as db:
        return await appointments.book(
            db,
            incident=incident,
            person_id=incident.victim_id,
            starts_at=starts_at,
            officer_id=officer_id,
            by=by,
            now=clock(),
            force=FORCE,
            key_ring=key_ring,
            **named,
        )


async def book_now(
    database: Database,
    key_ring: KeyRing,
    *,
    officer_id: str,
    now: datetime,
    name: str = "Jo Bloggs",
    language: str = "en",
) -> Appointment:
    """Book somebody with an officer, for now."""
    incident = await record(
        database,
        lambda: now,
        offence_type="burglary",
        victim_name=name,
        language=language,
        safe_contact=SafeContact(True, Wording.PLAIN),
        by=officer_id,
    )
    named = {"officer_id": officer_id, "by": officer_id, "allow_any_time": True}
    return await book(database, lambda: now, key_ring, incident, now, **named)
