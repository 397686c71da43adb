"""Reads what the booth's pages show, as plain values."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from video_server.accounts import service as accounts
from video_server.accounts.model import Staff
from video_server.appointments.model import OUTCOMES, Appointment
from video_server.booth import diary
from video_server.calls import service as calls
from video_server.core.database import Connection
from video_server.core.errors import N_
from video_server.core.force import Force
from video_server.evidence import service as evidence
from video_server.evidence.model import ItemState, Kind
from video_server.incidents import offences
from video_server.incidents import service as incidents
from video_server.incidents.mobile import say_mobile
from video_server.statements import shown as statements
from video_server.web import i18n

KINDS = {
    Kind.PHOTO: N_("A photo"),
    Kind.VIDEO: N_("A video"),
    Kind.DOCUMENT: N_("A document"),
    Kind.AUDIO: N_("A sound recording"),
}


def turn_days(day: date, *, now: datetime, force: Force) -> dict[str, Any]:
    """Return the day shown, as noon (far from any change of clocks), and the ways to turn."""
    today = now.astimezone(force.timezone).date()
    return {
        "noon": datetime.combine(day, datetime.min.time(), force.timezone).replace(hour=12),
        "day": day.isoformat(),
        "is_today": day == today,
        "day_before": (day - timedelta(days=1)).isoformat(),
        "day_after": (day + timedelta(days=1)).isoformat(),
    }


async def read_rows(db: Connection, listed: Sequence[Appointment], *, now: datetime) -> list[dict[str, Any]]:
    """Return plain values for each appointment's line."""
    participants = await calls.list_participants(db, [one.id for one in listed])
    officers = await read_names(db, {one.officer_id for one in listed})
    cases = await incidents.list_cases(db, {one.incident_id for one in listed})
    words = dict(outcome_words())
    rows = []
    for one in listed:
        case = cases[one.incident_id]
        line = diary.read_line(one, [p for p in participants if p.appointment_id == one.id], now=now)
        rows.append(
            {
                "id": one.id,
                "starts_at": one.starts_at,
                "ends_at": one.ends_at,
                "reference": case.incident.reference,
                "offence": i18n.gettext(offences.label_of(case.incident.offence_type)),
                "name": case.victim.name,
                "officer_id": one.officer_id,
                "officer": officers.get(one.officer_id, ""),
                "standing": line.standing.value,
                "since": line.since,
                "sessions": line.sessions,
                "outcome": words.get(one.outcome or "", one.outcome),
            }
        )
    return rows


async def read_case(db: Connection, appointment: Appointment) -> dict[str, Any]:
    """Return what an officer must know of a case before they speak."""
    incident = await incidents.get_incident(db, appointment.incident_id)
    person = await incidents.get_person(db, appointment.person_id)
    officers = await read_names(db, {appointment.officer_id})
    return {
        "appointment": {
            "id": appointment.id,
            "starts_at": appointment.starts_at,
            "ends_at": appointment.ends_at,
            "state": str(appointment.state),
            "officer": officers.get(appointment.officer_id, ""),
            "agreed_word": appointment.agreed_word,
        },
        "reference": incident.reference,
        "offence": i18n.gettext(offences.label_of(incident.offence_type)),
        "person": {
            "name": person.name,
            "language": i18n.LANGUAGES.get(person.language, person.language),
            "may_text": person.may_be_texted,
            "dial": "" if person.held_at else say_mobile(person.mobile),
            "neutral": person.safe_contact.wording.value == "neutral",
            "not_before": person.safe_contact.not_before,
            "not_after": person.safe_contact.not_after,
        },
    }


async def read_results(db: Connection, appointment_id: str) -> dict[str, Any]:
    """Return the statements that were begun and the files that were sent, those that were stopped left out."""
    begun = [
        (request, item)
        for request in await evidence.list_for(db, appointment_id)
        for item in request.items
        if item.state in {ItemState.RECEIVED, ItemState.QUARANTINED}
        or (item.state is ItemState.UPLOADING and item.total_bytes is not None)
    ]
    return {
        "statements": [
            {"id": one.id, "number": one.number, "state": one.state.value}
            for one in await statements.list_for(db, appointment_id)
        ],
        "files": [
            {
                "id": item.id,
                "state": item.state.value,
                "sha256": item.sha256,
                "what": ": ".join(filter(None, (i18n.gettext(KINDS[request.kind]), request.note))),
            }
            for request, item in begun
        ],
    }


async def read_names(db: Connection, staff_ids: Collection[str]) -> dict[str, str]:
    """Return how colleagues are called on pages: "PC Smith, 1234"."""
    found = [await accounts.find_staff(db, staff_id) for staff_id in sorted(staff_ids)]
    return {one.id: say_name(one) for one in found if one is not None}


def say_name(person: Staff) -> str:
    """Write a colleague's name with the collar number."""
    return f"{person.name}, {person.collar_number}" if person.collar_number else person.name


def outcome_words() -> list[tuple[str, str]]:
    """Return each outcome's code and words, translated."""
    return [(code, i18n.gettext(words)) for code, words in OUTCOMES]
