"""Who hears a call is shown to be in it: media may outlive a page's line to us, but not for long."""

from collections.abc import Sequence
from datetime import datetime

from video_server.calls.model import LEASE, Participant, Role, RoomView, State


class Absences:
    """What one seat sees of those who were let in and whose page is not there any more."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}

    def find(self, view: RoomView, now: datetime) -> Sequence[Participant]:
        """Return whom nobody is told of as being in the call, for LEASE in our own sight: they must not hear it.

        In our own sight, because after an outage everybody is absent for a moment. Whoever listens is another matter
        (`listening.lost`).
        """
        absent = [p for p in view.participants if _may_hear(p) and not p.is_in_call(now)]
        self._since = {person.id: self._since.get(person.id, now) for person in absent}
        return [person for person in absent if now - self._since[person.id] >= LEASE]


def _may_hear(person: Participant) -> bool:
    return person.state is State.ADMITTED and person.role is not Role.SUPERVISOR
