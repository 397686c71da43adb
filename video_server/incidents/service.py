"""Record an incident, ask the eligibility questions again, hold and release contact, look things up."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time

from video_server.audit import service as audit
from video_server.audit.model import actor_of
from video_server.core import keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import N_, Conflict, NotFound
from video_server.incidents import mobile, offences, storage
from video_server.incidents.eligibility import Assessment, Eligibility, offer_problems
from video_server.incidents.model import (
    HOLD_REASONS,
    Case,
    Incident,
    Person,
    SafeContact,
    is_release_reason,
    make_reference,
    parse_reference,
)
from video_server.tasks import service as tasks

VICTIM = "victim"
_REFERENCE_TRIES = 5
_CODE_LENGTH = 8


class HoldChanged(Conflict):
    """The hold that was to be lifted is not the one that stands: lifted already, or set anew since it was looked at."""

    code = "hold_changed"
    public = N_("This has changed since you opened the page. Open the incident again and look before you decide.")


async def record_incident(
    db: Connection,
    *,
    offence_type: str,
    victim_name: str,
    victim_mobile: str,
    language: str,
    safe_contact: SafeContact,
    eligibility: Eligibility,
    by: str,
    now: datetime,
    immediate_threat: bool = False,
    form_id: str | None = None,
) -> Incident:
    """Record an incident with its victim and the answers given; return it.

    victim_mobile  E.164, from `mobile.parse_mobile`
    by             a staff id, or "system:<what>"
    form_id        id of the form it was typed into: sent again, it returns the first incident and writes nothing
    Raises         ValueError for an unknown offence or a number that was not parsed
    """
    if not offences.is_offence(offence_type):
        raise ValueError("unknown offence type")
    if not mobile.is_e164(victim_mobile):
        raise ValueError("the mobile number was not parsed")
    victim_id = keys.new_id()
    for _ in range(_REFERENCE_TRIES):
        reference = make_reference(keys.new_code(_CODE_LENGTH))
        incident = Incident(keys.new_id(), reference, offence_type, now, by, victim_id)
        try:
            await storage.insert_incident(db, incident, form_id=form_id)
            break
        except IntegrityError:
            first = await storage.find_incident(db, form_id=form_id) if form_id else None
            if first is not None:
                return first
    else:
        raise RuntimeError("no free incident reference was found")
    await storage.insert_person(
        db, Person(victim_id, incident.id, VICTIM, victim_name, victim_mobile, language, safe_contact)
    )
    await audit.record(
        db,
        actor=actor_of(by),
        action="incidents.recorded",
        subject=f"incident:{incident.id}",
        details={
            "person": victim_id,
            "offence": offence_type,
            "may_text": safe_contact.may_text,
            "wording": safe_contact.wording.value,
        },
        now=now,
    )
    await assess(db, incident.id, eligibility=eligibility, immediate_threat=immediate_threat, by=by, now=now)
    return incident


async def assess(
    db: Connection, incident_id: str, *, eligibility: Eligibility, immediate_threat: bool, by: str, now: datetime
) -> Assessment:
    """Record the answers to the eligibility questions; the newest count. An immediate threat opens a task at once."""
    assessment = Assessment(eligibility, immediate_threat, now, by)
    await storage.insert_assessment(db, incident_id, assessment)
    await audit.record(
        db,
        actor=actor_of(by),
        action="incidents.assessed",
        subject=f"incident:{incident_id}",
        details={"against_video": offer_problems(assessment)},
        now=now,
    )
    if immediate_threat:
        await tasks.open_task(
            db,
            kind="send_officer",
            subject=f"incident:{incident_id}",
            note=N_("Immediate threat: send an officer."),
            due_at=now,
            now=now,
        )
    return assessment


async def hold_contact(db: Connection, person_id: str, why: str, by: str, now: datetime) -> None:
    """Let nothing be texted to a person until somebody says that it is safe again. A newer reason replaces an older.

    why     a code of HOLD_REASONS
    by      a staff id, or "system:<what>"
    Raises  NotFound; ValueError for an unknown reason
    """
    if why not in HOLD_REASONS:
        raise ValueError("unknown reason to hold contact")
    if not await storage.hold(db, person_id, why=why, now=now):
        raise NotFound
    await _record_contact(db, "incidents.contact_held", person_id, by=by, now=now, why=why)


async def release_contact(
    db: Connection, person_id: str, by: str, reason: str, now: datetime, *, held_at: datetime | None = None
) -> None:
    """Say that texting is safe again; what the person wished about texts counts as before.

    reason   a code of RELEASE_REASONS
    held_at  the hold that was looked at; one set since then stays
    Raises   HoldChanged, NotFound; ValueError for an unknown reason
    """
    if not is_release_reason(reason):
        raise ValueError("unknown reason to release contact")
    await get_person(db, person_id)
    if not await storage.release(db, person_id, held_at=held_at):
        raise HoldChanged
    await _record_contact(db, "incidents.contact_released", person_id, by=by, now=now, reason=reason)


async def change_safe_contact(
    db: Connection, person_id: str, *, safe_contact: SafeContact, by: str, now: datetime
) -> None:
    """Write down new wishes about texts; they count for what is queued already too. Raises NotFound."""
    if not await storage.set_safe_contact(db, person_id, safe_contact):
        raise NotFound
    await _record_contact(
        db,
        "incidents.contact_changed",
        person_id,
        by=by,
        now=now,
        may_text=safe_contact.may_text,
        wording=safe_contact.wording.value,
        not_before=_say_hour(safe_contact.not_before),
        not_after=_say_hour(safe_contact.not_after),
    )


def _say_hour(hour: time | None) -> str | None:
    return hour.isoformat("minutes") if hour else None


async def _record_contact(
    db: Connection, action: str, person_id: str, *, by: str, now: datetime, **details: object
) -> None:
    person = await get_person(db, person_id)
    await audit.record(
        db,
        actor=actor_of(by),
        action=action,
        subject=f"incident:{person.incident_id}",
        details={"person": person_id, **details},
        now=now,
    )


async def get_incident(db: Connection, incident_id: str) -> Incident:
    """Return an incident. Raises NotFound."""
    incident = await storage.find_incident(db, incident_id=incident_id)
    if incident is None:
        raise NotFound
    return incident


async def lock(db: Connection, incident_id: str) -> None:
    """Let decisions about one incident wait for each other until this transaction ends."""
    await storage.lock_incident(db, incident_id)


async def find_by_reference(db: Connection, reference: str) -> Incident | None:
    """Return the incident with this reference, typed in any usual way, or None."""
    parsed = parse_reference(reference)
    return await storage.find_incident(db, reference=parsed) if parsed else None


async def get_person(db: Connection, person_id: str) -> Person:
    """Return a person of an incident. Raises NotFound."""
    person = await storage.find_person(db, person_id)
    if person is None:
        raise NotFound
    return person


async def get_contact(db: Connection, person_id: str) -> tuple[Person, bool]:
    """Return a person and whether contact is on hold: theirs, or the victim's, around whom nobody may be texted then.

    Raises   NotFound
    """
    person = await get_person(db, person_id)
    if person.held_at is not None or person.role == VICTIM:
        return person, person.held_at is not None
    incident = await get_incident(db, person.incident_id)
    victim = await get_person(db, incident.victim_id)
    return person, victim.held_at is not None


async def add_person(db: Connection, person: Person, *, by: str, now: datetime) -> None:
    """Add somebody to an incident who is not its victim: a guardian, an interpreter."""
    if person.role == VICTIM or not mobile.is_e164(person.mobile):
        raise ValueError("not somebody to add")
    await storage.insert_person(db, person)
    await audit.record(
        db,
        actor=actor_of(by),
        action="incidents.person_added",
        subject=f"incident:{person.incident_id}",
        details={"person": person.id, "role": person.role},
        now=now,
    )


async def list_cases(db: Connection, incident_ids: Collection[str]) -> Mapping[str, Case]:
    """Return incidents with their victims by incident id, in one look."""
    return await storage.list_cases(db, incident_ids) if incident_ids else {}


async def get_assessment(db: Connection, incident_id: str) -> Assessment:
    """Return the newest answers to the eligibility questions. Raises NotFound."""
    assessment = await storage.find_newest_assessment(db, incident_id)
    if assessment is None:
        raise NotFound
    return assessment


async def list_recent(db: Connection, limit: int) -> Sequence[Incident]:
    """Return the newest incidents, newest first."""
    return await storage.list_recent(db, limit=limit)
