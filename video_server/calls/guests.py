"""Guests in a room: those invited for one call. Each invitation is one seat; the officer lets in and takes out."""

from datetime import datetime

from video_server.appointments import guests as invitations
from video_server.appointments.model import Appointment, Guest
from video_server.calls import arriving, service, storage
from video_server.calls.model import FINAL, Participant, Role, State
from video_server.calls.service import OPEN
from video_server.core.database import Connection
from video_server.web import sessions


async def arrive(
    db: Connection, appointment: Appointment, guest: Guest, *, session_id: str, device: str, now: datetime
) -> Participant:
    """Put a guest's session into the room, once, ready to check camera and microphone. Raises TooMany."""
    return await arriving.arrive(
        db, appointment, session_id=session_id, role=Role(guest.role.value), device=device, now=now, guest=guest
    )


async def remove(db: Connection, appointment_id: str, guest_id: str, *, by: str, now: datetime) -> list[str]:
    """Take a guest out, in the call or not, and their invitation back; return the participants to put out at once.

    The same whether they are in the call, wait, or have not come. Raises NotFound
    """
    await storage.rooms.lock_room(db, appointment_id)  # before `admit`, or after it
    await invitations.revoke(db, appointment_id, guest_id, by=by, now=now)
    people = await storage.participants.list_participants(db, [appointment_id])
    out = [person for person in people if person.guest_id == guest_id and person.state not in FINAL]
    for person in out:
        if await storage.participants.change_state(db, person.id, to=State.REMOVED, given=OPEN, left_at=now):
            await storage.gaps.close_gap(db, person.id, now=now)
            await service.tell(db, person, "calls.removed", now=now, actor=f"staff:{by}")
    return [person.id for person in out]


async def exit_on_purpose(db: Connection, guest_id: str, *, session_id: str, now: datetime) -> None:
    """Note that a guest used "Exit this page": their session ends; nobody is alarmed."""
    await sessions.end_session(db, session_id, why="exited", now=now)
    guest = await invitations.find_standing(db, guest_id)
    if guest is not None:
        await service.exit_on_purpose(db, guest.appointment_id, session_id=session_id, now=now)
