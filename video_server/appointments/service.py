"""Book, move, cancel and end an appointment; look the diary up. Links are in `links`, named here too."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice

from video_server.accounts import service as accounts
from video_server.appointments import announce, slots, storage, words
from video_server.appointments.links import find_link, find_link_of, link_url, trade
from video_server.appointments.local_time import local_day
from video_server.appointments.model import (
    Appointment,
    GuestRole,
    Slot,
    State,
    is_cancel_reason,
    is_move_reason,
    is_outcome,
    order_needs,
)
from video_server.appointments.slots import SlotInPast, SlotNotOffered, SlotTaken
from video_server.core import keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import N_, Conflict, NotFound
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.incidents import eligibility
from video_server.incidents import service as incidents
from video_server.incidents.model import Incident
from video_server.web import sessions

__all__ = [
    "AlreadyCancelled",
    "AlreadyEnded",
    "SlotInPast",
    "SlotNotOffered",
    "SlotTaken",
    "VideoNotOffered",
    "book",
    "cancel",
    "end",
    "find_link",
    "find_link_of",
    "free_slots",
    "get",
    "link_url",
    "list_day",
    "list_of_incident",
    "list_upcoming",
    "mark_seen",
    "move",
    "set_needs",
    "trade",
]

OTHERS_SHOWN = 6
_FOREVER = timedelta(days=365)


class AlreadyEnded(Conflict):
    """The appointment is over; nothing about it changes any more."""

    code = "already_ended"
    public = N_("This appointment has already ended.")


class AlreadyCancelled(AlreadyEnded):
    code = "already_cancelled"
    public = N_("This appointment has already been cancelled.")


class VideoNotOffered(Conflict):
    """The newest answers to the eligibility questions speak against video."""

    code = "video_not_offered"
    public = N_("Video cannot be offered to this person now. Offer an officer in person.")


class AlreadyBooked(Conflict):
    """The incident has an appointment that is not over; a second would be a second text with another time."""

    code = "already_booked"
    public = N_("They have an appointment already. To change it, open it from the incident and select “Move”.")


async def free_slots(
    db: Connection, *, now: datetime, force: Force, limit: int = 40, moving: str | None = None
) -> list[Slot]:
    """Return the next starts that are free, soonest first; the quarters of the appointment `moving` count as free."""
    officers = [officer.id for officer in await accounts.list_officers(db)]
    until = now + force.book_ahead + force.appointment_length
    busy = await storage.list_quarters(db, now - slots.QUARTER, until, but=moving)
    return list(islice(slots.open_slots(officers, busy, now=now, force=force), limit))


async def book(
    db: Connection,
    *,
    incident: Incident,
    person_id: str,
    starts_at: datetime,
    officer_id: str | None,
    by: str,
    now: datetime,
    force: Force,
    key_ring: KeyRing,
    allow_any_time: bool = False,
    form_id: str | None = None,
    needs: Collection[GuestRole] = (),
) -> Appointment:
    """Book one officer for one person: diary, link, texts, audit and news in the caller's transaction.

    officer_id      None takes any officer who is free
    by              a staff id, or "system:<what>"
    allow_any_time  for the demo: outside hours, without notice, or begun already
    needs           who must be in the call before the person reads or signs a statement
    form_id         id of the form it was typed into: sent again, it returns the first appointment and writes nothing
    Raises          SlotTaken (with .others), SlotInPast, SlotNotOffered, VideoNotOffered, AlreadyBooked
    """
    await incidents.lock(db, incident.id)
    first = await storage.find_by_form(db, form_id) if form_id else None
    if first is not None:
        return _same_incident(first, incident)
    if await find_ahead(db, incident.id, now=now) is not None:
        raise AlreadyBooked
    if eligibility.offer_problems(await incidents.get_assessment(db, incident.id)):
        raise VideoNotOffered
    if not allow_any_time:
        slots.check_offered(starts_at, now=now, force=force)
    draft = Appointment(
        id=keys.new_id(),
        incident_id=incident.id,
        person_id=person_id,
        officer_id="",
        starts_at=starts_at,
        ends_at=starts_at + force.appointment_length,
        state=State.BOOKED,
        generation=1,
        agreed_word=f"{keys.choose(words.FIRST)} {keys.choose(words.SECOND)}",
        booked_by=by,
        booked_at=now,
        ended_at=None,
        outcome=None,
        seen_at=None,
        needs=order_needs(needs),
    )
    quarters = slots.quarters_of(draft.starts_at, draft.ends_at)
    for officer in await _officers_to_try(db, officer_id, draft, force=force):
        appointment = replace(draft, officer_id=officer)
        try:
            await storage.insert_appointment(db, appointment, quarters, form_id=form_id)
            break
        except IntegrityError:
            first = await storage.find_by_form(db, form_id) if form_id else None
            if first is not None:
                return _same_incident(first, incident)
    else:
        raise SlotTaken(await _others(db, starts_at, now=now, force=force))
    link_id = keys.new_id()
    token = key_ring.link_token(appointment.id, appointment.generation)
    await storage.insert_link(db, link_id, appointment.id, appointment.generation, token_sha256=keys.digest(token))
    await announce.booked(db, appointment, incident, link_id=link_id, by=by, now=now, force=force)
    return appointment


def _same_incident(first: Appointment, incident: Incident) -> Appointment:
    if first.incident_id != incident.id:
        raise Conflict("form used for another incident")
    return first


async def _officers_to_try(
    db: Connection, officer_id: str | None, wanted: Appointment, *, force: Force
) -> Sequence[str]:
    """Return the officers for a time, the likeliest first. Raises SlotNotOffered when there is none at all."""
    officers = [o.id for o in await accounts.list_officers(db) if officer_id in (None, o.id)]
    if not officers:
        raise SlotNotOffered("no such officer")
    day = local_day(wanted.starts_at.astimezone(force.timezone).date(), force.timezone)
    busy = await storage.list_quarters(db, day[0], max(day[1], wanted.ends_at), but=wanted.id)
    return slots.order_officers(officers, busy, slots.quarters_of(wanted.starts_at, wanted.ends_at), day=day)


async def _others(
    db: Connection, wanted: datetime, *, now: datetime, force: Force, moving: str | None = None
) -> list[Slot]:
    """Return the next free starts from the wanted one on; when there is none, the soonest of all."""
    every = await free_slots(db, now=now, force=force, limit=10_000, moving=moving)
    return ([slot for slot in every if slot.starts_at >= wanted] or every)[:OTHERS_SHOWN]


async def move(
    db: Connection,
    appointment_id: str,
    *,
    starts_at: datetime,
    officer_id: str | None,
    by: str,
    now: datetime,
    force: Force,
    reason: str | None = None,
) -> Appointment:
    """Move a booked appointment; its link and agreed word stay, texts not yet sent are withdrawn and written anew.

    officer_id  None keeps the officer where they are free, else takes any
    reason      a code of MOVE_REASONS, for the audit
    Moving to where it already is changes nothing, so a form sent twice moves once.
    Raises SlotTaken (with .others), SlotInPast, SlotNotOffered, AlreadyEnded, AlreadyCancelled, NotFound
    """
    if reason is not None and not is_move_reason(reason):
        raise ValueError("unknown reason to move")
    before = _booked(await get(db, appointment_id))
    if before.starts_at == starts_at and officer_id in (None, before.officer_id):
        return before
    slots.check_offered(starts_at, now=now, force=force)
    wanted = replace(before, starts_at=starts_at, ends_at=starts_at + force.appointment_length)
    quarters = slots.quarters_of(wanted.starts_at, wanted.ends_at)
    officers = list(await _officers_to_try(db, officer_id, wanted, force=force))
    officers.sort(key=lambda officer: officer != before.officer_id)  # stable: the same officer first
    for officer in officers:
        try:
            moved = await storage.move_appointment(
                db, before.id, officer_id=officer, starts_at=starts_at, ends_at=wanted.ends_at, quarters=quarters
            )
        except IntegrityError:
            continue
        if not moved:
            _booked(await get(db, appointment_id))
            raise AlreadyEnded
        appointment = replace(wanted, officer_id=officer)
        await announce.moved(db, before, appointment, by=by, reason=reason, now=now, force=force)
        return appointment
    raise SlotTaken(await _others(db, starts_at, now=now, force=force, moving=before.id))


async def cancel(db: Connection, appointment_id: str, *, by: str, reason: str, now: datetime) -> Appointment:
    """Cancel a booked appointment: its time is free again, its link and phone sessions end, a text says so.

    reason  a code of CANCEL_REASONS
    Raises  AlreadyEnded, AlreadyCancelled, NotFound; ValueError for an unknown reason
    """
    if not is_cancel_reason(reason):
        raise ValueError("unknown reason to cancel")
    before = _booked(await get(db, appointment_id))
    if not await storage.finish(db, appointment_id, state=State.CANCELLED, cancel_reason=reason, now=now):
        _booked(await get(db, appointment_id))
        raise AlreadyEnded
    await storage.delete_quarters(db, appointment_id)
    await storage.void_links(db, appointment_id, now=now)
    await sessions.end_sessions_of(db, "phone", appointment_id, why="cancelled", now=now)
    await _end_guests(db, appointment_id, why="cancelled", now=now)
    appointment = replace(before, state=State.CANCELLED, ended_at=now, cancel_reason=reason)
    await announce.cancelled(db, appointment, by=by, now=now)
    return appointment


async def end(db: Connection, appointment_id: str, *, outcome: str, by: str, now: datetime) -> Appointment:
    """End an appointment with an outcome, a code of OUTCOMES; reminders not yet sent are withdrawn.

    Raises AlreadyEnded, AlreadyCancelled, NotFound; ValueError for an unknown outcome
    """
    if not is_outcome(outcome):
        raise ValueError("unknown outcome")
    before = _booked(await get(db, appointment_id))
    if not await storage.finish(db, appointment_id, state=State.ENDED, outcome=outcome, now=now):
        _booked(await get(db, appointment_id))
        raise AlreadyEnded
    await _end_guests(db, appointment_id, why="ended", now=now)
    appointment = replace(before, state=State.ENDED, ended_at=now, outcome=outcome)
    await announce.ended(db, appointment, by=by, now=now)
    return appointment


async def _end_guests(db: Connection, appointment_id: str, *, why: str, now: datetime) -> None:
    """What a guest was given ends with the call."""
    for guest in await storage.list_guests(db, appointment_id):
        await sessions.end_sessions_of(db, "guest", guest.id, why=why, now=now)


def _booked(appointment: Appointment) -> Appointment:
    if appointment.state is State.CANCELLED:
        raise AlreadyCancelled
    if appointment.state is State.ENDED:
        raise AlreadyEnded
    return appointment


async def set_needs(
    db: Connection, appointment_id: str, needs: Collection[GuestRole], *, by: str, now: datetime
) -> None:
    """Say who must be in the call before the person reads or signs a statement; on the record. Raises NotFound."""
    appointment = await get(db, appointment_id)
    ordered = order_needs(needs)
    if await storage.set_needs(db, appointment_id, ordered):
        await announce.needs_set(db, appointment, ordered, by=by, now=now)


async def mark_seen(db: Connection, appointment_id: str, *, now: datetime) -> None:
    """Note when the person was first admitted; later admissions change nothing."""
    if await storage.mark_seen(db, appointment_id, now=now):
        await announce.changed(db, await get(db, appointment_id), now=now)


async def get(db: Connection, appointment_id: str) -> Appointment:
    """Return an appointment. Raises NotFound."""
    appointment = await storage.find(db, appointment_id)
    if appointment is None:
        raise NotFound
    return appointment


async def list_day(db: Connection, *, officer_id: str | None, day: date, force: Force) -> Sequence[Appointment]:
    """Return every appointment, cancelled ones too, that starts on a local day; of one officer, or of all."""
    since, until = local_day(day, force.timezone)
    return await storage.list_between(db, since, until, officer_id=officer_id)


async def list_upcoming(db: Connection, *, since: datetime, limit: int) -> Sequence[Appointment]:
    """Return booked appointments that start at `since` or later, earliest first."""
    return await storage.list_between(db, since, since + _FOREVER, state=State.BOOKED, limit=limit)


async def find_ahead(db: Connection, incident_id: str, *, now: datetime) -> Appointment | None:
    """Return the booked appointment of an incident that is not over yet, or None."""
    return await storage.find_ahead(db, incident_id, now=now)


async def list_of_incident(db: Connection, incident_id: str) -> Sequence[Appointment]:
    """Return every appointment of an incident, earliest first."""
    return await storage.list_of_incident(db, incident_id)
