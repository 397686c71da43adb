"""Incidents, their people, and each asking of the eligibility questions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    Time,
    insert,
    select,
    update,
)

from video_server.core.database import METADATA, Connection, UtcDateTime
from video_server.incidents.eligibility import Assessment, Eligibility
from video_server.incidents.model import Case, Incident, Person, SafeContact, Wording

incidents = Table(
    "incidents",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("reference", String(20), nullable=False, unique=True),
    Column("offence_type", String(40), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, index=True),
    Column("recorded_by", String(80), nullable=False),
    Column("form_id", String(32), unique=True),  # a form sent twice is one incident
)

people = Table(
    "people",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("incident_id", String(32), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("role", String(20), nullable=False),
    Column("name", String(120), nullable=False),
    Column("mobile", String(20), nullable=False),
    Column("language", String(2), nullable=False),
    Column("may_text", Boolean, nullable=False),
    Column("wording", String(10), nullable=False),
    Column("not_before", Time),
    Column("not_after", Time),
    Column("held_at", UtcDateTime),  # nothing may be texted, whatever the wishes say
    Column("held_why", String(40)),
)

assessments = Table(
    "assessments",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("incident_id", String(32), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("asked_by", String(80), nullable=False),
    Column("immediate_threat", Boolean, nullable=False),
    Column("adult_or_guardian", Boolean, nullable=False),
    Column("has_smartphone", Boolean, nullable=False),
    Column("offender_absent", Boolean, nullable=False),
    Column("safe_place", Boolean, nullable=False),
)


async def insert_incident(db: Connection, incident: Incident, *, form_id: str | None) -> None:
    """Insert; IntegrityError when the reference or the form is there already."""
    async with db.begin_nested():
        await db.execute(
            insert(incidents).values(
                id=incident.id,
                reference=incident.reference,
                offence_type=incident.offence_type,
                recorded_at=incident.recorded_at,
                recorded_by=incident.recorded_by,
                form_id=form_id,
            )
        )


async def insert_person(db: Connection, person: Person) -> None:
    await db.execute(
        insert(people).values(
            id=person.id,
            incident_id=person.incident_id,
            role=person.role,
            name=person.name,
            mobile=person.mobile,
            language=person.language,
            may_text=person.safe_contact.may_text,
            wording=person.safe_contact.wording.value,
            not_before=person.safe_contact.not_before,
            not_after=person.safe_contact.not_after,
        )
    )


async def hold(db: Connection, person_id: str, *, why: str, now: datetime) -> bool:
    """Hold contact, or hold it anew for the newest reason; False when there is no such person."""
    held = await db.execute(update(people).where(people.c.id == person_id).values(held_at=now, held_why=why))
    return bool(held.rowcount)


async def release(db: Connection, person_id: str, *, held_at: datetime | None) -> bool:
    """Lift the hold, of that instant when one is named; False when no such hold stands."""
    standing = people.c.held_at.is_not(None) if held_at is None else people.c.held_at == held_at
    released = await db.execute(
        update(people).where(people.c.id == person_id, standing).values(held_at=None, held_why=None)
    )
    return bool(released.rowcount)


async def set_safe_contact(db: Connection, person_id: str, wishes: SafeContact) -> bool:
    """Write the wishes anew; False when there is no such person."""
    written = await db.execute(
        update(people)
        .where(people.c.id == person_id)
        .values(
            may_text=wishes.may_text,
            wording=wishes.wording.value,
            not_before=wishes.not_before,
            not_after=wishes.not_after,
        )
    )
    return bool(written.rowcount)


async def insert_assessment(db: Connection, incident_id: str, assessment: Assessment) -> None:
    answers = assessment.eligibility
    await db.execute(
        insert(assessments).values(
            incident_id=incident_id,
            asked_at=assessment.asked_at,
            asked_by=assessment.asked_by,
            immediate_threat=assessment.immediate_threat,
            adult_or_guardian=answers.adult_or_guardian,
            has_smartphone=answers.has_smartphone,
            offender_absent=answers.offender_absent,
            safe_place=answers.safe_place,
        )
    )


async def lock_incident(db: Connection, incident_id: str) -> None:
    """Hold the row (PostgreSQL; on SQLite every writer waits anyway)."""
    await db.execute(select(incidents.c.id).where(incidents.c.id == incident_id).with_for_update())


async def find_incident(
    db: Connection, *, incident_id: str | None = None, reference: str | None = None, form_id: str | None = None
) -> Incident | None:
    """Return the incident that one of the three names."""
    query = _WITH_VICTIM
    if incident_id is not None:
        query = query.where(incidents.c.id == incident_id)
    elif reference is not None:
        query = query.where(incidents.c.reference == reference)
    else:
        query = query.where(incidents.c.form_id == form_id)
    row = (await db.execute(query)).first()
    return _to_incident(row) if row else None


async def list_recent(db: Connection, *, limit: int) -> Sequence[Incident]:
    rows = await db.execute(_WITH_VICTIM.order_by(incidents.c.recorded_at.desc(), incidents.c.id).limit(limit))
    return [_to_incident(row) for row in rows]


async def find_person(db: Connection, person_id: str) -> Person | None:
    row = (await db.execute(select(people).where(people.c.id == person_id))).first()
    return _to_person(row) if row else None


async def list_cases(db: Connection, incident_ids: Collection[str]) -> Mapping[str, Case]:
    cases = {}
    found = await db.execute(_WITH_VICTIM.where(incidents.c.id.in_(incident_ids)))
    known = {row.id: _to_incident(row) for row in found}
    for row in await db.execute(
        select(people).where(people.c.incident_id.in_(incident_ids), people.c.role == "victim")
    ):
        cases[row.incident_id] = Case(known[row.incident_id], _to_person(row))
    return cases


async def find_newest_assessment(db: Connection, incident_id: str) -> Assessment | None:
    newest = (
        select(assessments).where(assessments.c.incident_id == incident_id).order_by(assessments.c.id.desc()).limit(1)
    )
    row = (await db.execute(newest)).first()
    if row is None:
        return None
    answers = Eligibility(row.adult_or_guardian, row.has_smartphone, row.offender_absent, row.safe_place)
    return Assessment(answers, row.immediate_threat, row.asked_at, row.asked_by)


_WITH_VICTIM = select(incidents, people.c.id.label("victim_id")).join(
    people, (people.c.incident_id == incidents.c.id) & (people.c.role == "victim")
)


def _to_person(row: Row[Any]) -> Person:
    contact = SafeContact(row.may_text, Wording(row.wording), row.not_before, row.not_after)
    return Person(
        row.id, row.incident_id, row.role, row.name, row.mobile, row.language, contact, row.held_at, row.held_why
    )


def _to_incident(row: Row[Any]) -> Incident:
    return Incident(row.id, row.reference, row.offence_type, row.recorded_at, row.recorded_by, row.victim_id)
