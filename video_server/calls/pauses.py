"""Pauses of a call ("hold"): while one lasts the relay forwards nothing of the room, and everybody is told.

The officer begins and ends one; everybody else in the call may ask for one. Each stands in the record with its times.
"""

from datetime import datetime

from video_server.audit import service as audit
from video_server.calls import rooms, service, storage
from video_server.calls.model import State
from video_server.core import events
from video_server.core.database import Connection


async def ask(db: Connection, participant_id: str, *, now: datetime) -> None:
    """Ask for a pause; asking twice, or while one goes on, changes nothing.

    Raises   CannotJoin for who is not in the call, and for staff: they begin one, or only listen
    """
    person = await service.get_participant(db, participant_id)
    if person.staff_id is not None or person.state is not State.ADMITTED:
        raise service.CannotJoin
    if await storage.pauses.ask_pause(db, person, now=now):
        await service.tell(db, person, "calls.pause_asked", now=now)


async def begin(db: Connection, appointment_id: str, *, by: str, now: datetime) -> None:
    """Begin a pause, once. Raises CannotJoin when the call is over or nobody has come yet."""
    await service.get_standing(db, appointment_id)
    await storage.rooms.lock_room(db, appointment_id)
    if await rooms.find_room(db, appointment_id) is None:
        raise service.CannotJoin
    if await storage.pauses.begin_pause(db, appointment_id, now=now):
        await _record(db, appointment_id, "calls.pause_began", by=by, now=now)


async def end(db: Connection, appointment_id: str, *, by: str, now: datetime) -> None:
    """Go on after a pause, or decline one that was asked for; without one nothing changes."""
    found = next((one for one in await storage.pauses.list_pauses(db, appointment_id) if one.ended_at is None), None)
    if found is not None and await storage.pauses.end_pause(db, appointment_id, now=now):
        action = "calls.pause_ended" if found.began_at else "calls.pause_declined"
        await _record(db, appointment_id, action, by=by, now=now)


async def _record(db: Connection, appointment_id: str, action: str, *, by: str, now: datetime) -> None:
    await audit.record(
        db, actor=f"staff:{by}", action=action, subject=f"appointment:{appointment_id}", details={}, now=now
    )
    await events.record(db, "room", appointment_id, now=now)
