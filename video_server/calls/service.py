"""What happens in a room: arriving, the safety questions, waiting, being admitted, leaving, the end.

Every function works in the caller's transaction and leaves an event on topic "room", so that every page of the room
looks again. What the relay must do follows from these rows (`at_relay.py`); it is never told first.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from video_server.accounts.model import Staff
from video_server.appointments import guests
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment, Guest
from video_server.appointments.model import State as Standing
from video_server.audit import service as audit
from video_server.calls import storage
from video_server.calls.model import (
    EXPLAINED_BY_PAGE,
    FINAL,
    HEARD_BY_RELAY,
    Alert,
    AlertKind,
    Participant,
    Role,
    Room,
    RoomView,
    State,
    Watched,
    Word,
)
from video_server.core import events, keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import N_, Conflict, NotFound, TooMany
from video_server.incidents import service as incidents
from video_server.tasks import service as tasks
from video_server.texts import service as texts
from video_server.web import sessions

MOST_IN_CALL = 5
MOST_SESSIONS = 8  # open ones of one link at a time; officers are never turned away
OPEN = frozenset(State) - FINAL
_FIRST = {Role.OFFICER: State.ADMITTED, Role.SUPERVISOR: State.LEFT}


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
    found = await storage.find_by_session(db, appointment.id, session_id)
    if found is not None:
        return found
    await storage.ensure_room(db, appointment.id, now=now)
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
        await storage.insert_participant(db, person)
    except IntegrityError:
        return await _get_by_session(db, appointment.id, session_id)
    await tell(db, person, "calls.arrived", now=now, role=role.value)
    return person


async def _make_place(db: Connection, appointment_id: str, *, guest_id: str | None, now: datetime) -> None:
    """Let the oldest session of the same link that nobody looks at give way to a new one."""
    await storage.lock_room(db, appointment_id)
    people = await storage.list_participants(db, [appointment_id])
    here = [p for p in people if p.staff_id is None and p.guest_id == guest_id and p.state not in FINAL]
    if len(here) < MOST_SESSIONS:
        return
    absent = [person for person in here if person.state is not State.ADMITTED and not person.is_present(now)]
    if not absent:
        raise TooMany("sessions of one appointment")
    await storage.change_state(db, absent[0].id, to=State.REPLACED, given=OPEN, left_at=now)
    await sessions.end_session(db, absent[0].session_id, why="gave_way", now=now)


async def answer_safety(
    db: Connection,
    appointment: Appointment,
    *,
    session_id: str,
    safe_place: bool,
    watched: Watched | None,
    now: datetime,
) -> State:
    """Note the answers to "are you safe?" and "could they see or hear you?"; return the state that follows.

    watched   None while the second question was not asked yet
    An unsafe answer is final for this session: the booth is alarmed, nothing is sent, a person decides how to go on.
    Raises    CannotJoin
    """
    person = await _get_by_session(db, appointment.id, session_id)
    if not safe_place or watched is Watched.YES:
        return await _become_unsafe(db, appointment, person, safe_place=safe_place, now=now)
    if person.state in FINAL:
        raise CannotJoin
    if watched is None or person.state is not State.ARRIVED:
        return person.state
    if not await storage.change_state(db, person.id, to=State.CHECKING, given=[State.ARRIVED]):
        raise CannotJoin
    await tell(db, person, "calls.safe", now=now, watched=watched.value)
    return State.CHECKING


async def _become_unsafe(
    db: Connection, appointment: Appointment, person: Participant, *, safe_place: bool, now: datetime
) -> State:
    if person.state is State.UNSAFE:
        return State.UNSAFE
    if not await storage.change_state(db, person.id, to=State.UNSAFE, given=OPEN, left_at=now):
        raise CannotJoin
    await incidents.hold_contact(db, appointment.person_id, why="unsafe_answer", by="system:phone", now=now)
    await texts.void(db, subject=f"appointment:{appointment.id}", now=now)
    await _alarm(db, person, AlertKind.UNSAFE, now=now)
    await tell(db, person, "calls.unsafe", now=now, safe_place=safe_place)
    await tasks.open_task(
        db,
        kind="unsafe_answer",
        subject=f"appointment:{person.appointment_id}",
        note=N_("Said it is not safe to talk. Do not ring or text. Decide how to reach this person safely."),
        due_at=now + timedelta(minutes=15),
        now=now,
    )
    return State.UNSAFE


async def give_word(db: Connection, appointment: Appointment, *, session_id: str, word: str, now: datetime) -> Word:
    """Compare the agreed word; wrong stays wrong until it is given right. The person is not told which."""
    person = await _get_by_session(db, appointment.id, session_id)
    said = Word.RIGHT if _plain(word) == _plain(appointment.agreed_word) else Word.WRONG
    if said is person.word:
        return said
    await storage.set_word(db, person.id, said)
    await tell(db, person, "calls.word_given", now=now, word=said.value)
    return said


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


async def start_waiting(db: Connection, participant_id: str, *, now: datetime) -> None:
    """Note that a person is ready to be admitted. Coming back after a drop changes nothing.

    Raises   CannotJoin when the safety questions were not answered, or the session is at its end
    """
    person = await get_participant(db, participant_id)
    if person.state in {State.WAITING, State.ADMITTED}:
        return
    await get_standing(db, person.appointment_id)
    given = [State.CHECKING, State.LEFT]
    if not await storage.change_state(db, person.id, to=State.WAITING, given=given, waiting_since=now, left_at=None):
        raise CannotJoin
    await tell(db, person, "calls.waiting", now=now)


async def admit(
    db: Connection, appointment: Appointment, participant_id: str, *, by: str, now: datetime
) -> Participant:
    """Let one waiting session into the call; every other session of the same link ends, one in the call too.

    The person has one seat, and so has each guest. Admitting twice changes nothing.
    Raises   NotWaiting (or its page is closed), RoomFull, CannotJoin when the appointment is over
    """
    await storage.lock_room(db, appointment.id)
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
    for other in await storage.replace_others(db, person, now=now):
        await storage.close_gap(db, other, now=now)
    kind, subject = ("guest", person.guest_id) if person.guest_id else ("phone", appointment.id)
    await sessions.end_sessions_of(db, kind, subject, why="another_admitted", now=now, but=person.session_id)
    if not await storage.change_state(db, person.id, to=State.ADMITTED, given=[State.WAITING], admitted_at=now):
        raise NotWaiting
    if person.role is Role.VICTIM:
        await appointments.mark_seen(db, appointment.id, now=now)
    await tell(db, person, "calls.admitted", now=now, actor=f"staff:{by}", role=person.role.value)
    return await get_participant(db, participant_id)


async def _check_place(db: Connection, person: Participant, *, now: datetime) -> None:
    """Raise RoomFull when a guest would be one too many; the place of the person whose call it is stays theirs."""
    if person.role is Role.VICTIM:
        return
    people = await storage.list_participants(db, [person.appointment_id])
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
    if await storage.change_state(db, person.id, to=State.LEFT, given=given, left_at=now, left_how="button"):
        await storage.close_gap(db, person.id, now=now)
        await tell(db, person, "calls.left", now=now)


async def exit_on_purpose(db: Connection, appointment_id: str, *, session_id: str, now: datetime) -> None:
    """Note that somebody used "Exit this page": the session ends; of the person, the booth is told not to ring back."""
    await sessions.end_session(db, session_id, why="exited", now=now)
    person = await storage.find_by_session(db, appointment_id, session_id)
    if person is None or not await storage.change_state(db, person.id, to=State.EXITED, given=OPEN, left_at=now):
        return
    await storage.close_gap(db, person.id, now=now)
    if person.role is Role.VICTIM:
        await _alarm(db, person, AlertKind.EXITED, now=now)
    await tell(db, person, "calls.exited", now=now)


async def end_call(db: Connection, appointment_id: str, *, outcome: str, by: str, now: datetime) -> Appointment:
    """End the call with an outcome; everybody's page says so. Raises AlreadyEnded the second time."""
    appointment = await appointments.end(db, appointment_id, outcome=outcome, by=by, now=now)
    await storage.end_all(db, appointment_id, now=now)
    await storage.end_room(db, appointment_id, outcome=outcome, now=now)
    await events.record(db, "room", appointment_id, now=now)
    return appointment


async def cancel(db: Connection, appointment_id: str, *, by: str, reason: str, now: datetime) -> Appointment:
    """Cancel the appointment and end whatever call goes on. Raises AlreadyEnded, AlreadyCancelled."""
    appointment = await appointments.cancel(db, appointment_id, by=by, reason=reason, now=now)
    await storage.end_all(db, appointment_id, now=now)
    await storage.end_room(db, appointment_id, outcome="cancelled", now=now)
    await events.record(db, "room", appointment_id, now=now)
    return appointment


async def dismiss_alert(db: Connection, alert_id: str, *, by: str, now: datetime) -> Alert:
    """Note who has seen an alert; the first stays. Raises NotFound."""
    alert = await storage.find_alert(db, alert_id)
    if alert is None:
        raise NotFound
    if await storage.dismiss_alert(db, alert_id, by=by, now=now):
        await audit.record(
            db,
            actor=f"staff:{by}",
            action="calls.alert_dismissed",
            subject=f"appointment:{alert.appointment_id}",
            details={"alert": alert_id, "kind": alert.kind.value},
            now=now,
        )
        await events.record(db, "room", alert.appointment_id, now=now)
    return alert


async def view(db: Connection, appointment_id: str) -> RoomView:
    """Return all there is to know of a room, in one consistent look."""
    return RoomView(
        room=await storage.find_room(db, appointment_id),
        participants=await storage.list_participants(db, [appointment_id]),
        alerts=await storage.list_alerts(db, [appointment_id]),
        gaps=await storage.list_gaps(db, appointment_id),
        sending=await storage.list_sending(db, appointment_id),
        pauses=await storage.list_pauses(db, appointment_id),
    )


async def list_participants(db: Connection, appointment_ids: Sequence[str]) -> Sequence[Participant]:
    """Return everybody in these rooms, for a diary."""
    return await storage.list_participants(db, appointment_ids)


async def list_open_alerts(db: Connection, appointment_ids: Sequence[str]) -> Sequence[Alert]:
    """Return alerts nobody has dismissed yet, oldest first."""
    return [alert for alert in await storage.list_alerts(db, appointment_ids) if alert.dismissed_at is None]


async def get_participant(db: Connection, participant_id: str) -> Participant:
    """Return a participant. Raises NotFound."""
    person = await storage.find_participant(db, participant_id)
    if person is None:
        raise NotFound
    return person


async def find_by_session(db: Connection, appointment_id: str, session_id: str) -> Participant | None:
    """Return where a session stands in a room, or None."""
    return await storage.find_by_session(db, appointment_id, session_id)


async def take_socket(db: Connection, person: Participant, *, socket: str, now: datetime) -> None:
    """A page of this participant has opened its socket; an older page of the same session gives way."""
    await storage.take_socket(db, person.id, socket=socket, now=now)
    await events.record(db, "room", person.appointment_id, now=now)


async def drop_socket(db: Connection, person: Participant, *, socket: str, how: str, now: datetime) -> bool:
    """A page's socket has gone: "closed_page" (it said goodbye) or "lost" (it did not); False: a newer one is there."""
    dropped = await storage.drop_socket(db, person.id, socket=socket, how=how, now=now)
    if dropped:
        await events.record(db, "room", person.appointment_id, now=now)
    return dropped


async def renew_presence(db: Connection, sockets: Sequence[str], *, now: datetime) -> None:
    """Say that these sockets are still held by a living process."""
    await storage.renew(db, sockets, now=now)


async def note_silence(db: Connection, participant_id: str, *, why: str, now: datetime) -> None:
    """The relay hears nothing from this participant (any more); begins a gap in the call's record."""
    appointment_id = await storage.set_silent(db, participant_id, since=now)
    if appointment_id is None:
        return
    person = await get_participant(db, participant_id)
    if person.state is State.ADMITTED:
        await storage.open_gap(db, person, why=why, now=now)
    await events.record(db, "room", appointment_id, now=now)


async def note_sound(db: Connection, participant_id: str, *, now: datetime) -> None:
    """The relay hears this participant (again); ends the gaps that the relay noticed."""
    appointment_id = await storage.set_silent(db, participant_id, since=None)
    closed = await storage.close_gap(db, participant_id, now=now, why=(*HEARD_BY_RELAY, *EXPLAINED_BY_PAGE))
    if appointment_id is not None or closed:
        person = await get_participant(db, participant_id)
        await events.record(db, "room", person.appointment_id, now=now)


async def place(
    db: Connection, appointment_id: str, *, living: Collection[str], best: str | None, now: datetime
) -> Room | None:
    """Return the room, held by one of the living relays, or None when there is none to hold it.

    A room whose relay does not live gets a new epoch on the best one, and every page of it is woken to follow.
    Raises   CannotJoin
    """
    await get_standing(db, appointment_id)
    room = await storage.find_room(db, appointment_id)
    if room is not None and room.relay not in living and best is not None:
        if await storage.place_room(db, appointment_id, relay=best, epoch=room.epoch + 1):
            await events.record(db, "room", appointment_id, now=now)
        room = await storage.find_room(db, appointment_id)
    if room is None or room.ended_at is not None:
        raise CannotJoin
    return room if room.relay in living else None


async def find_room(db: Connection, appointment_id: str) -> Room | None:
    """Return the room of an appointment, None when nobody has come yet."""
    return await storage.find_room(db, appointment_id)


async def get_standing(db: Connection, appointment_id: str) -> Appointment:
    """Return the appointment unless it is over or cancelled. Raises CannotJoin."""
    appointment = await appointments.get(db, appointment_id)
    if appointment.state is not Standing.BOOKED:
        raise CannotJoin
    return appointment


async def _get_by_session(db: Connection, appointment_id: str, session_id: str) -> Participant:
    person = await storage.find_by_session(db, appointment_id, session_id)
    if person is None:
        raise CannotJoin
    return person


async def _alarm(db: Connection, person: Participant, kind: AlertKind, *, now: datetime) -> None:
    await storage.insert_alert(db, Alert(keys.new_id(), person.appointment_id, kind, now, None, None))
    await events.record(db, "alerts", person.appointment_id, now=now)


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
