"""One participant at the relay: joined or not, let in or not, what may be forwarded of it; the rows decide.

Whoever asks holds `turn`, and reads the rows within it: what an old look asked for would undo what a newer one did.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from video_server.calls import roles, service
from video_server.calls.model import FINAL, Participant, Role, RoomView, State
from video_server.calls.relays import NoRelay, Relays
from video_server.core.database import Connection, Database
from video_server.core.log import get_logger
from video_server.relay.client import RelayRefused

log = get_logger(__name__)

Still = Callable[[Connection], Awaitable[bool]]
"""Say whether the page may stay: its session is open and its person still has the right."""


class AtRelay:
    """Where one participant stands at the relays.

    turn          one thing at a time is asked of the relay
    is_checking   an echo is running
    """

    def __init__(self, relays: Relays, database: Database, person: Participant, still: Still) -> None:
        self.turn = asyncio.Lock()
        self.is_checking = False
        self._relays = relays
        self._database = database
        self._id = person.id
        self._appointment_id = person.appointment_id
        self._still = still
        self._epoch = 0  # of the room we have joined at the relay, 0 when we have not
        self._at_door: bool | None = False  # whether the relay was told that we are admitted; None: not known
        self._told: tuple[Role, int, bool] | None = None  # what the relay knows: our role, holds, no pictures for us
        self._is_new = True  # has not looked at the room yet

    @property
    def is_in(self) -> bool:
        """Say whether it has joined its room."""
        return self._epoch > 0

    @property
    def relay(self) -> str | None:
        """Return which relay it depends on, None when on none."""
        if self._epoch:
            return self._relays.find_place(self._appointment_id, self._epoch)
        return self._relays.echo_relay(self._id) if self.is_checking else None

    @property
    def _place(self) -> dict[str, Any]:
        return {"appointment_id": self._appointment_id, "epoch": self._epoch}

    def forget(self) -> bool:
        """Be nowhere: the relay is lost. Return whether it had joined its room."""
        was_in = self.is_in
        self._epoch, self._at_door, self.is_checking = 0, False, False
        return was_in

    async def leave(self) -> None:
        """Leave the room; not one packet passes afterwards."""
        place, self._epoch, self._at_door = self._place, 0, False
        if place["epoch"]:
            await self._relays.leave(**place, participant_id=self._id)

    async def leave_echo(self) -> None:
        """End the echo, if one runs."""
        if self.is_checking:
            self.is_checking = False
            await self._relays.leave_echo(self._id)

    async def follow(self, view: RoomView, person: Participant, *, still: bool) -> bool:
        """Make the relay follow the rows. Return whether the room was moved: the page must come there.

        still   its session is open and its person still has the right
        """
        self._adopt(view)
        if self._epoch and view.room is not None and view.room.epoch > self._epoch:
            await self._relays.leave(**self._place, participant_id=self._id)
            return True
        await self._follow_state(person, still=still)
        await self._follow_rights(view, person)
        return False

    def _adopt(self, view: RoomView) -> None:
        """Take over a connection that outlived the process of the page's seat before this one."""
        room = view.room
        if self._is_new and not self._epoch and room is not None and self._relays.lives(room.relay):
            self._epoch, self._at_door = room.epoch, None
            self._relays.note_place(room.appointment_id, room.epoch, room.relay)
        self._is_new = False

    async def _follow_state(self, person: Participant, *, still: bool) -> None:
        if person.state in FINAL or not still:
            await self.leave_echo()
        if not self._epoch:
            return
        if person.state not in {State.WAITING, State.ADMITTED} or not still:
            await self.leave()
            return
        admitted = person.state is State.ADMITTED
        if admitted != self._at_door:
            try:
                await self._relays.admit(**self._place, participant_id=self._id, admitted=admitted)
                self._at_door = admitted
            except (NoRelay, RelayRefused) as refusal:
                log.info("door_not_moved", code=refusal.code)  # we are not there; a fresh offer carries the state
                self._epoch, self._at_door = 0, False

    async def _follow_rights(self, view: RoomView, person: Participant) -> None:
        """Tell the relay what it may forward: of us, by role and wish, and of the room, nothing while it is held."""
        without_pictures = any(one.audio_only for one in view.sending if one.participant_id == person.id)
        rights = (person.role, view.hold_version, without_pictures)
        if not self._epoch or self._told == rights:
            return
        place = self._place
        try:
            await self._relays.hold(**place, held=view.is_held, version=view.hold_version)
            await self._relays.permit(**place, participant_id=self._id, publish=roles.may_publish(person.role))
            await self._relays.set_audio_only(**place, participant_id=self._id, on=without_pictures)
            self._told = rights
        except (NoRelay, RelayRefused) as refusal:
            log.info("rights_not_told", code=refusal.code)  # we are not there; a fresh offer carries them

    async def answer(self, sdp: str, *, echo: bool, restart: bool) -> str:
        """Answer an offer: an echo, a call, or a new path for the call. Raises CannotJoin, NoRelay, RelayRefused."""
        async with self._database.read() as db:
            person = await service.get_participant(db, self._id)
            if not await self._still(db):
                raise service.CannotJoin
        if echo:
            if person.state not in {State.CHECKING, State.WAITING, State.ADMITTED, State.LEFT}:
                raise service.CannotJoin
            answer = await self._relays.echo(participant_id=self._id, offer=sdp)
            self.is_checking = True
            return answer
        if person.state not in {State.WAITING, State.ADMITTED}:
            raise service.CannotJoin
        await self.leave_echo()
        if restart and self._epoch:
            return await self._relays.restart_ice(**self._place, participant_id=self._id, offer=sdp)
        return await self._join(person, sdp)

    async def _join(self, person: Participant, sdp: str) -> str:
        admitted = person.state is State.ADMITTED
        answer, self._epoch = await self._relays.join(
            appointment_id=self._appointment_id,
            participant_id=self._id,
            offer=sdp,
            admitted=admitted,
            publish=roles.may_publish(person.role),
        )
        self._at_door, self._told = admitted, None
        await self._check_again()
        return answer

    async def _check_again(self) -> None:
        """Look again before the page has its answer, without which the connection never stands.

        Whoever was put out meanwhile does not get it, and a room that is held is held before anybody hears more.
        Raises   CannotJoin
        """
        async with self._database.read() as db:
            view = await service.view(db, self._appointment_id)
        person = view.by_id(self._id)
        if person is None or person.state not in {State.WAITING, State.ADMITTED}:
            await self.leave()
            raise service.CannotJoin
        await self._follow_rights(view, person)
