"""What happens in a room: waiting, being admitted, leaving, the end. How one comes there: `arriving.py`, `safety.py`.

Every function works in the caller's transaction and leaves an event on topic "room", so that every page of the room
looks again. What the relay must do follows from these rows (`at_relay.py`); it is never told first.
"""

from collections.abc import Sequence
from datetime import datetime

from video_server.appointments import guests
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.appointments.model import State as Standing
from video_server.audit import service as audit
from video_server.calls import alerts, storage
from video_server.calls.model import (
    FINAL,
    AlertKind,
    Participant,
    Role,
    RoomView,
    State,
)
from video_server.core import events
from video_server.core.database import Connection
from video_server.core.errors import N_, Conflict, NotFound
from video_server.web import sessions

MOST_IN_CALL = 5
OPEN = frozenset(State) - FINAL


class CannotJoin(Conflict):
    """This session is at its end, or the appointment is."""

    code = "cannot_join"
    public = N_("This page is no longer in use. Open the link in your text message again.")


class NotWaiting(Conflict):
    code = "not_waiting"
    public = N_("This person is not waiting any more. Look at the list again.")


class RoomFull(Conflict):
    code = "room_full"
    public = N_("There are five people in this call already. Somebody must leave before another one can be let in.")


async def start_waiting(db: Connection, participant_id: str, *, now: datetime) -> None:
    """Note that a person is ready to be admitted. Coming back after a drop changes nothing.

    Raises   CannotJoin when the safety questions were not answered, or the session is at its end
    """
    person = await get_participant(db, participant_id)
    if person.state in {State.WAITING, State.ADMITTED}:
        return
    await get_standing(db, person.appointment_id)
    given = [State.CHECKING, State.LEFT]
    if not await storage.participants.change_state(
        db, person.id, to=State.WAITING, given=given, waiting_since=now, left_at=None
    ):
        raise CannotJoin
    await tell(db, person, "calls.waiting", now=now)


async def admit(
    db: Connection, appointment: Appointment, participant_id: str, *, by: str, now: datetime
) -> Participant:
    """Let one waiting session into the call; every other session of the same link ends, one in the call too.

    The person has one seat, and so has each guest. Admitting twice changes nothing.
    Raises   NotWaiting (or its page is closed), RoomFull, CannotJoin when the appointment is over
    """
    await storage.rooms.lock_room(db, appointment.id)
    await get_standing(db, appointment.id)
    person = await get_participant(db, participant_id)
    if person.appointment_id != appointment.id or person.staff_id is not None:
        raise NotWaiting
    if person.state is State.ADMITTED:
        return person
    if person.state is not State.WAITING or not person.is_present(now):
        raise NotWaiting
    if person.guest_id and await guests.find_standing(db, person.guest_id) is None:
        raise NotWaiting
    await _check_place(db, person, now=now)
    for other in await storage.participants.replace_others(db, person, now=now):
        await storage.gaps.close_gap(db, other, now=now)
    kind, subject = ("guest", person.guest_id) if person.guest_id else ("phone", appointment.id)
    await sessions.end_sessions_of(db, kind, subject, why="another_admitted", now=now, but=person.session_id)
    if not await storage.participants.change_state(
        db, person.id, to=State.ADMITTED, given=[State.WAITING], admitted_at=now
    ):
        raise NotWaiting
    if person.role is Role.VICTIM:
        await appointments.mark_seen(db, appointment.id, now=now)
    await tell(db, person, "calls.admitted", now=now, actor=f"staff:{by}", role=person.role.value)
    return await get_participant(db, participant_id)


async def _check_place(db: Connection, person: Participant, *, now: datetime) -> None:
    """Raise RoomFull when a guest would be one too many; the place of the person whose call it is stays theirs."""
    if person.role is Role.VICTIM:
        return
    people = await storage.participants.list_participants(db, [person.appointment_id])
    here = [p for p in people if p.is_in_call(now) and p.role not in {Role.VICTIM, Role.SUPERVISOR}]
    if len([p for p in here if p.guest_id != person.guest_id]) >= MOST_IN_CALL - 1:
        raise RoomFull


async def leave(db: Connection, participant_id: str, *, now: datetime) -> None:
    """Leave by the button. A victim may come back and waits again; an officer stays in charge of the room."""
    person = await get_participant(db, participant_id)
    if person.role is Role.OFFICER:
        await tell(db, person, "calls.officer_left", now=now)
        return
    given = [State.CHECKING, State.WAITING, State.ADMITTED]
    if await storage.participants.change_state(
        db, person.id, to=State.LEFT, given=given, left_at=now, left_how="button"
    ):
        await storage.gaps.close_gap(db, person.id, now=now)
        await tell(db, person, "calls.left", now=now)


async def exit_on_purpose(db: Connection, appointment_id: str, *, session_id: str, now: datetime) -> None:
    """Note that somebody used "Exit this page": the session ends; of the person, the booth is told not to ring back."""
    await sessions.end_session(db, session_id, why="exited", now=now)
    person = await storage.participants.find_by_session(db, appointment_id, session_id)
    if person is None or not await storage.participants.change_state(
        db, person.id, to=State.EXITED, given=OPEN, left_at=now
    ):
        return
    await storage.gaps.close_gap(db, person.id, now=now)
    if person.role is Role.VICTIM:
        await alerts.alarm(db, person, AlertKind.EXITED, now=now)
    await tell(db, person, "calls.exited", now=now)


async def end_call(db: Connection, appointment_id: str, *, outcome: str, by: str, now: datetime) -> Appointment:
    """End the call with an outcome; everybody's page says so. Raises AlreadyEnded the second time."""
    appointment = await appointments.end(db, appointment_id, outcome=outcome, by=by, now=now)
    await _end_room(db, appointment_id, outcome=outcome, now=now)
    return appointment


async def cancel(db: Connection, appointment_id: str, *, by: str, reason: str, now: datetime) -> Appointment:
    """Cancel the appointment and end whatever call goes on. Raises AlreadyEnded, AlreadyCancelled."""
    appointment = await appointments.cancel(db, appointment_id, by=by, reason=reason, now=now)
    await _end_room(db, appointment_id, outcome="cancelled", now=now)
    return appointment


async def _end_room(db: Connection, appointment_id: str, *, outcome: str, now: datetime) -> None:
    await storage.participants.end_all(db, appointment_id, now=now)
    await storage.pauses.end_pause(db, appointment_id, now=now)
    await storage.gaps.close_all(db, appointment_id, now=now)
    await storage.rooms.end_room(db, appointment_id, outcome=outcome, now=now)
    await events.record(db, "room", appointment_id, now=now)


async def view(db: Connection, appointment_id: str) -> RoomView:
    """Return all there is to know of a room, in one consistent look."""
    return RoomView(
        room=await storage.rooms.find_room(db, appointment_id),
        participants=await storage.participants.list_participants(db, [appointment_id]),
        alerts=await storage.alerts.list_alerts(db, [appointment_id]),
        gaps=await storage.gaps.list_gaps(db, appointment_id),
        sending=await storage.told_by_pages.list_sending(db, appointment_id),
        pauses=await storage.pauses.list_pauses(db, appointment_id),
    )


async def list_participants(db: Connection, appointment_ids: Sequence[str]) -> Sequence[Participant]:
    """Return everybody in these rooms, for a diary."""
    return await storage.participants.list_participants(db, appointment_ids)


async def get_participant(db: Connection, participant_id: str) -> Participant:
    """Return a participant. Raises NotFound."""
    person = await storage.participants.find_participant(db, participant_id)
    if person is None:
        raise NotFound
    return person


async def find_by_session(db: Connection, appointment_id: str, session_id: str) -> Participant | None:
    """Return where a session stands in a room, or None."""
    return await storage.participants.find_by_session(db, appointment_id, session_id)


async def find_let_in(
    db: Connection, appointment_id: str, session_id: str, *, after_call: bool = False
) -> Participant | None:
    """Return the victim whom the officer let in, when this is their session and they are in the call.

    after_call   also behind it, for the session that was in it
    """
    person = await storage.participants.find_by_session(db, appointment_id, session_id)
    if person is None or person.role is not Role.VICTIM or person.admitted_at is None:
        return None
    may = {State.ADMITTED, State.LEFT, State.ENDED} if after_call else {State.ADMITTED}
    return person if person.state in may else None


async def get_standing(db: Connection, appointment_id: str) -> Appointment:
    """Return the appointment unless it is over or cancelled. Raises CannotJoin."""
    appointment = await appointments.get(db, appointment_id)
    if appointment.state is not Standing.BOOKED:
        raise CannotJoin
    return appointment


async def get_by_session(db: Connection, appointment_id: str, session_id: str) -> Participant:
    """Return where a session stands in a room. Raises CannotJoin."""
    person = await storage.participants.find_by_session(db, appointment_id, session_id)
    if person is None:
        raise CannotJoin
    return person


async def tell(
    db: Connection, person: Participant, action: str, *, now: datetime, actor: str | None = None, **details: object
) -> None:
    """Audit a deed of a participant and wake every page of the room."""
    session = "guest-session" if person.guest_id else "phone-session"
    own = f"staff:{person.staff_id}" if person.staff_id else f"{session}:{person.session_id}"
    await audit.record(
        db,
        actor=actor or own,
        action=action,
        subject=f"appointment:{person.appointment_id}",
        details={"participant": person.id, **details},
        now=now,
    )
    await events.record(db, "room", person.appointment_id, now=now)
