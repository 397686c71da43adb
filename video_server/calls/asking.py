"""An officer asks somebody in the call to mute or to unmute. Nobody's microphone is ever turned on from elsewhere."""

from datetime import datetime

from video_server.calls import service, storage
from video_server.calls.model import State
from video_server.core import events
from video_server.core.database import Connection
from video_server.core.errors import N_, Conflict

ASKS = frozenset({"mute", "unmute"})


class NotInCall(Conflict):
    code = "not_in_call"
    public = N_("This person is not in the call any more. Look at the list again.")


async def ask(
    db: Connection, appointment_id: str, participant_id: str, *, what: str, by: str, name: str, now: datetime
) -> None:
    """Show a participant what is wished of their microphone; the newest wish stands.

    what     of ASKS
    name     of who asks, as it is said
    Raises   NotInCall (also for colleagues, who have their own page), ValueError
    """
    if what not in ASKS:
        raise ValueError("unknown wish")
    person = await service.get_participant(db, participant_id)
    if person.appointment_id != appointment_id or person.staff_id is not None or person.state is not State.ADMITTED:
        raise NotInCall
    if not await storage.participants.set_asked(db, person.id, what=what, by=name):
        raise NotInCall
    await service.tell(db, person, "calls.asked", now=now, actor=f"staff:{by}", wish=what)


async def settle(db: Connection, participant_id: str, *, now: datetime) -> None:
    """Note that a participant has done, or put aside, what was asked."""
    person = await service.get_participant(db, participant_id)
    if person.asked is not None and await storage.participants.set_asked(db, person.id, what=None, by=""):
        await events.record(db, "room", person.appointment_id, now=now)
