"""Booking one time for one officer, moving, cancelling, ending."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta

import pytest

from video_server.accounts.model import Role
from video_server.appointments import service, slots
from video_server.appointments.local_time import NotATime, TimeDoesNotExist, TimeIsAmbiguous, local_day, parse_local
from video_server.appointments.model import Slot, State
from video_server.audit import service as audit
from video_server.core.database import Database
from video_server.core.errors import Conflict, NotFound
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.tasks import service as tasks
from video_server.texts import service as texts
from video_server.web import sessions

FORCE = Force()
FINE = Eligibility(adult_or_guardian=True, has_smartphone=True, offender_absent=True, safe_place=True)
FORM = "f" * 32


def at(clock: str, day: str = "2026-03-02") -> datetime:
    """Return an instant of the clock fixture's day, when London is on UTC."""
    return datetime.fromisoformat(f"{day}T{clock}+00:00")


@pytest.fixture
def record(database, clock):
    """Record an incident: await record(eligibility=…)."""

    async def record(**changed):
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

    return record


@pytest.fixture
def book(database, clock, key_ring):
    """Book in a transaction of its own: await book(incident, at("14:00"))."""

    async def book(incident, starts_at, *, officer_id=None, on=database, **named):
        async with on.begin() as db:
            return await service.book(
                db,
                incident=incident,
                person_id=incident.victim_id,
                starts_at=starts_at,
                officer_id=officer_id,
                by="system:test",
                now=clock(),
                force=FORCE,
                key_ring=key_ring,
                **named,
            )

    return book


async def texts_of(database, appointment):
    async with database.read() as db:
        return [(t.kind, t.state.value, t.due_at) for t in await texts.list_for(db, f"appointment:{appointment.id}")]


async def test_booking_queues_the_text_and_each_reminder_that_is_still_ahead(add_staff, record, book, database, clock):
    await add_staff("smith", Role.OFFICER)
    incident = await record()
    soon = await book(incident, at("14:00"))
    later = await book(incident, at("14:00", "2026-03-05"))
    assert await texts_of(database, soon) == [("booked", "due", clock()), ("reminder", "due", at("13:00"))]
    assert await texts_of(database, later) == [
        ("booked", "due", clock()),
        ("reminder", "due", at("14:00", "2026-03-04")),
        ("reminder", "due", at("13:00", "2026-03-05")),
    ]


async def test_of_two_bookers_of_one_officer_one_wins_and_the_other_sees_the_next_time(add_staff, record, book):
    smith = await add_staff("smith", Role.OFFICER)
    incident = await record()
    answers = await asyncio.gather(
        *(book(incident, at("14:00"), officer_id=officer) for officer in (None, smith.id)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, slots.SlotTaken)]
    assert len(refused) == 1
    assert refused[0].others[0] == Slot(at("14:45"), (smith.id,))


async def test_bookers_in_two_processes_never_share_an_officer(add_staff, record, book, settings, database):
    officers = {(await add_staff(name, Role.OFFICER)).id for name in ("smith", "jones")}
    incident = await record()
    other = Database(settings.database_url)
    try:
        answers = await asyncio.gather(
            *(book(incident, at("14:00"), on=on) for on in (database, other) * 3), return_exceptions=True
        )
    finally:
        await other.dispose()
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert {appointment.officer_id for appointment in won} == officers
    assert len(won) == 2
    assert sum(isinstance(answer, slots.SlotTaken) for answer in answers) == 4


async def test_overlapping_by_one_quarter_is_taken_and_the_loser_leaves_nothing_behind(
    add_staff, record, book, database
):
    smith = await add_staff("smith", Role.OFFICER)
    incident = await record()
    await book(incident, at("14:00"))
    for start in ("13:30", "14:30"):
        with pytest.raises(slots.SlotTaken):
            await book(incident, at(start))
    await book(incident, at("14:45"))
    await book(incident, at("13:15"))
    async with database.read() as db:
        day = await service.list_day(db, officer_id=smith.id, day=date(2026, 3, 2), force=FORCE)
        entries = await audit.list_for(db, f"appointment:{day[0].id}")
    assert [a.starts_at for a in day] == [at("13:15"), at("14:00"), at("14:45")]
    assert [entry.action for entry in entries] == ["appointments.booked"]
