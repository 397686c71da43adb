"""What the booth's call page is shown, computed from the room."""

from datetime import datetime
from typing import Any

from video_server.appointments.model import Appointment
from video_server.calls import roles
from video_server.calls.model import Alert, Gap, Note, Participant, Pause, Role, RoomView


def draw(
    view: RoomView, me: Participant | None, *, appointment: Appointment, reference: str, name: str, now: datetime
) -> dict[str, Any]:
    """Return the snapshot. `waiting` holds every session of the link, in whatever state, oldest first.

    name   of the person whose call it is
    """
    admitted = view.admitted
    return {
        "appointment": {
            "id": appointment.id,
            "reference": reference,
            "state": "ended" if view.room and view.room.ended_at else appointment.state.value,
            "starts_at": appointment.starts_at.isoformat(),
            "ends_at": appointment.ends_at.isoformat(),
        },
        "waiting": [_person(person, now) for person in view.participants if person.role is Role.VICTIM],
        "guest_sessions": [
            {**_person(person, now), "guest": person.guest_id} for person in view.participants if person.guest_id
        ],
        "admitted": admitted.id if admitted else None,
        "me": me.id if me else None,
        "alerts": [_alert(alert) for alert in view.alerts if alert.dismissed_at is None],
        "ended": _ended(view),
        "gaps": [_gap(gap) for gap in view.gaps],
        "pauses": [_pause(pause) for pause in view.pauses],
        **roles.draw(view, me, victim=name, now=now),
    }


def draw_note(note: Note) -> dict[str, Any]:
    """Return the notes for a page that only shows them."""
    return {"text": note.text, "saved_at": _iso(note.saved_at)}


def _person(person: Participant, now: datetime) -> dict[str, Any]:
    return {
        "id": person.id,
        "role": person.role.value,
        "state": person.state.value,
        "since": (person.waiting_since or person.arrived_at).isoformat(),
        "admitted_at": _iso(person.admitted_at),
        "word": person.word.value,
        "device": person.device,
        "connected": person.is_present(now),
        "seen_at": None if person.is_present(now) else person.seen_at.isoformat(),
        "silent_since": _iso(person.silent_since),
        "left_at": _iso(person.left_at),
        "left_how": person.left_how,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {"id": alert.id, "kind": alert.kind.value, "at": alert.at.isoformat()}


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "participant": gap.participant_id,
        "began_at": gap.began_at.isoformat(),
        "ended_at": _iso(gap.ended_at),
        "why": gap.why,
    }


def _pause(pause: Pause) -> dict[str, Any]:
    return {
        "asked_at": _iso(pause.asked_at),
        "began_at": _iso(pause.began_at),
        "ended_at": _iso(pause.ended_at),
    }


def _ended(view: RoomView) -> dict[str, Any] | None:
    if view.room is None or view.room.ended_at is None:
        return None
    return {"at": view.room.ended_at.isoformat(), "outcome": view.room.outcome}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
