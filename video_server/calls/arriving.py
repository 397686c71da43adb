"""A session comes into its room. Of one link a few may stand there at a time; the officer admits one of them."""

from datetime import datetime

from video_server.accounts.model import Staff
from video_server.appointments.model import Appointment, Guest
from video_server.calls import storage
from video_server.calls.model import FINAL, Participant, Role, State, Word
from video_server.calls.service import OPEN, get_by_session, tell
from video_server.core import keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import TooMany
from video_server.web import sessions

MOST_SESSIONS = 8  # open ones of one link at a time; officers are never turned away
_FIRST = {Role.OFFICER: State.ADMITTED, Role.SUPERVISOR: State.LEFT}


async def arrive(
    db: Connection,
    appointment: Appointment,
    *,
    session_id: str,
    role: Role,
    device: str,
    now: datetime,
    staff: Staff | None = None,
    guest: Guest | None = None,
) -> Participant:
    """Put a session into its room, once; return where it stands. An officer is in the call at once.

    A supervisor who only listens is in it from `listening.start` on.

    staff    who an officer is: others in the room are told the name
    guest    by which invitation a guest comes
    device   a few words of which device this is ("iPhone, Safari"), so that two sessions can be told apart
    Raises   TooMany when MOST_SESSIONS people with this link are all here
    """
    found = await storage.participants.find_by_session(db, appointment.id, session_id)
    if found is not None:
        return found
    await storage.rooms.ensure_room(db, appointment.id, now=now)
    if role not in {Role.OFFICER, Role.SUPERVISOR}:
        await _make_place(db, appointment.id, guest_id=guest.id if guest else None, now=now)
    admitted = role is Role.OFFICER
    person = Participant(
        id=keys.new_id(),
        appointment_id=appointment.id,
        session_id=session_id,
        role=role,
        state=State.CHECKING if guest else _FIRST.get(role, State.ARRIVED),
        device=device[:80],
        word=Word.NONE,
        arrived_at=now,
        waiting_since=None,
        admitted_at=now if admitted else None,
        left_at=None,
        left_how=None,
        connected=False,
        seen_at=now,
        silent_since=None,
        socket=None,
        staff_id=staff.id if staff else None,
        name=staff.name if staff else guest.name if guest else "",
        collar_number=staff.collar_number if staff else "",
        guest_id=guest.id if guest else None,
        signs=guest.signs if guest else False,
    )
    try:
        await storage.participants.insert_participant(db, person)
    except IntegrityError:
        return await get_by_session(db, appointment.id, session_id)
    await tell(db, person, "calls.arrived", now=now, role=role.value)
    return person


async def _make_place(db: Connection, appointment_id: str, *, guest_id: str | None, now: datetime) -> None:
    """Let the oldest session of the same link that nobody looks at give way to a new one."""
    await storage.rooms.lock_room(db, appointment_id)
    people = await storage.participants.list_participants(db, [appointment_id])
    here = [p for p in people if p.staff_id is None and p.guest_id == guest_id and p.state not in FINAL]
    if len(here) < MOST_SESSIONS:
        return
    absent = [person for person in here if person.state is not State.ADMITTED and not person.is_present(now)]
    if not absent:
        raise TooMany("sessions of one appointment")
    await storage.participants.change_state(db, absent[0].id, to=State.REPLACED, given=OPEN, left_at=now)
    await sessions.end_session(db, absent[0].session_id, why="gave_way", now=now)
