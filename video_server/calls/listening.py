"""A supervisor listens to a call: publishes nothing, takes no slot, and is announced from before the first sound.

Who listens is a row in state `admitted`; every page of the room reads it. It ends with the page, and whoever looks at
the room next ends it for a supervisor whose page was lost, so that nobody hears without being announced.
"""

from collections.abc import Sequence
from datetime import datetime

from video_server.calls import rooms, service, storage
from video_server.calls.model import Participant, Role, RoomView, State
from video_server.core.database import Connection


async def turn(db: Connection, person: Participant, *, listens: bool, now: datetime) -> Participant:
    """Make a session of staff one that listens, or one that takes part in view of all, before its page opens."""
    if listens == (person.role is Role.SUPERVISOR):
        return person
    if listens:
        await storage.participants.set_role(db, person.id, Role.SUPERVISOR)
        await storage.participants.change_state(db, person.id, to=State.LEFT, given=[State.ADMITTED])
    else:
        await stop(db, person, now=now)
        await storage.participants.set_role(db, person.id, Role.OFFICER)
        await storage.participants.change_state(db, person.id, to=State.ADMITTED, given=[State.LEFT], left_at=None)
    return await service.get_participant(db, person.id)


async def start(db: Connection, person: Participant, *, now: datetime) -> Participant:
    """Announce that a supervisor listens, from now on; twice, or when the call is over, changes nothing."""
    room = await rooms.find_room(db, person.appointment_id)
    if room is not None and room.ended_at is not None:
        return person
    if await storage.participants.change_state(
        db, person.id, to=State.ADMITTED, given=[State.LEFT], admitted_at=now, left_at=None
    ):
        await service.tell(db, person, "calls.listening_began", now=now)
    return await service.get_participant(db, person.id)


async def stop(db: Connection, person: Participant, *, now: datetime) -> bool:
    """End listening; False when it had ended."""
    given = [State.ADMITTED]
    if not await storage.participants.change_state(db, person.id, to=State.LEFT, given=given, left_at=now):
        return False
    await service.tell(db, person, "calls.listening_ended", now=now)
    return True


async def listens(db: Connection, appointment_id: str, *, session_id: str, now: datetime) -> bool:
    """Say whether this session of staff has a page open that only listens."""
    person = await service.find_by_session(db, appointment_id, session_id)
    return person is not None and person.role is Role.SUPERVISOR and person.is_present(now)


def lost(view: RoomView, now: datetime) -> Sequence[Participant]:
    """Return those who listen though nobody knows any more whether their page is open."""
    return [person for person in view.listeners if not person.is_present(now)]
