"""Invite somebody to one call and nothing else, take that back; their link, by the rules of the join link.

Guardian, appropriate adult, interpreter, intermediary, supporter: each has a link of their own that ends with the call.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from video_server.appointments import announce, storage
from video_server.appointments.links import LinkCancelled, LinkOver, LinkUnknown, guest_url
from video_server.appointments.model import (
    Appointment,
    Guest,
    GuestLinkView,
    GuestRole,
    State,
    guest_link_state,
    room_closes_at,
)
from video_server.appointments.service import AlreadyCancelled, AlreadyEnded, get
from video_server.audit import service as audit
from video_server.core import keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import N_, Conflict, NotFound
from video_server.core.force import Force
from video_server.core.keys import KeyRing, digest
from video_server.incidents import service as incidents
from video_server.incidents.model import Person, SafeContact
from video_server.texts import service as texts
from video_server.web import sessions
from video_server.web.model import Session

__all__ = ["GuestRole", "TooManyGuests", "find_link", "get_guest", "guest_url", "invite", "list_for", "revoke", "trade"]

MOST_GUESTS = 8
"""Invitations to one call at a time; five people fit into it."""
NAME_CHARACTERS = 60
UNKNOWN = GuestLinkView("unknown")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


class TooManyGuests(Conflict):
    code = "too_many_guests"
    public = N_("There are enough invitations to this call. Take one back before you invite somebody else.")


def one_line(name: str) -> str:
    """Take a guest's name as it is said: one line, nothing invisible. Raises ValueError."""
    name = " ".join(name.split())
    if not name or not name.isprintable() or len(name) > NAME_CHARACTERS:
        raise ValueError("not a name to tell others")
    return name


async def invite(
    db: Connection,
    appointment: Appointment,
    *,
    role: GuestRole,
    name: str,
    language: str,
    signs: bool,
    mobile: str | None,
    by: str,
    now: datetime,
    force: Force,
    key_ring: KeyRing,
    form_id: str | None = None,
) -> Guest:
    """Invite somebody; with a mobile a text goes to them through the safe-contact gate, else the link is passed on.

    mobile   E.164, from `mobile.parse_mobile`, or None
    form_id  id of the form: sent again, it returns the first invitation and writes nothing
    Raises   AlreadyEnded, AlreadyCancelled, TooManyGuests
    """
    first = await storage.find_guest(db, form_id=form_id) if form_id else None
    if first is not None:
        return _same(first, appointment)
    await storage.lock(db, appointment.id)
    appointment = await get(db, appointment.id)
    if appointment.state is not State.BOOKED:
        raise AlreadyCancelled if appointment.state is State.CANCELLED else AlreadyEnded
    standing = [guest for guest in await storage.list_guests(db, appointment.id) if guest.revoked_at is None]
    if len(standing) >= MOST_GUESTS:
        raise TooManyGuests
    person_id = await _add_person(db, appointment, role, name, language, mobile, by=by, now=now) if mobile else None
    guest = Guest(keys.new_id(), appointment.id, role, name, language, signs, person_id, 1, by, now)
    token = key_ring.guest_token(guest.id, guest.generation)
    try:
        await storage.insert_guest(db, guest, token_sha256=digest(token), form_id=form_id)
    except IntegrityError:
        first = await storage.find_guest(db, form_id=form_id) if form_id else None
        if first is None:
            raise
        return _same(first, appointment)
    await announce.invited(db, appointment, guest, by=by, now=now, force=force)
    return guest


def _same(first: Guest, appointment: Appointment) -> Guest:
    if first.appointment_id != appointment.id:
        raise Conflict("form used for another appointment")
    return first


async def _add_person(
    db: Connection,
    appointment: Appointment,
    role: GuestRole,
    name: str,
    language: str,
    mobile: str,
    *,
    by: str,
    now: datetime,
) -> str:
    """Write down whom to text. What the victim wished counts for a phone they share; the wording always does."""
    victim = await incidents.get_person(db, appointment.person_id)
    wishes = victim.safe_contact
    if mobile != victim.mobile:
        wishes = SafeContact(may_text=True, wording=wishes.wording)
    person = Person(keys.new_id(), appointment.incident_id, role.value, name, mobile, language, wishes)
    await incidents.add_person(db, person, by=by, now=now)
    return person.id


async def get_guest(db: Connection, appointment_id: str, guest_id: str) -> Guest:
    """Return an invitation to this appointment. Raises NotFound."""
    guest = await storage.find_guest(db, guest_id=guest_id)
    if guest is None or guest.appointment_id != appointment_id:
        raise NotFound
    return guest


async def record_shown(db: Connection, guest: Guest, *, by: str, now: datetime) -> None:
    """Note who was shown a guest's link again."""
    await audit.record(
        db,
        actor=f"staff:{by}",
        action="appointments.guest_link_shown",
        subject=f"appointment:{guest.appointment_id}",
        details={"guest": guest.id, "role": guest.role.value},
        now=now,
    )


async def is_texted(db: Connection, guest: Guest) -> bool:
    """Say whether a text with the link is on its way, or has gone; the gate may have refused it."""
    queued = await texts.list_for(db, f"appointment:{guest.appointment_id}")
    return any(text.link_id == guest.id and text.kind == "invited" for text in queued)


async def find_standing(db: Connection, guest_id: str) -> Guest | None:
    """Return an invitation, None when it was taken back."""
    guest = await storage.find_guest(db, guest_id=guest_id)
    return guest if guest is not None and guest.revoked_at is None else None


async def list_for(db: Connection, appointment_id: str) -> Sequence[Guest]:
    """Return the invitations that stand, in the order they were made."""
    return [guest for guest in await storage.list_guests(db, appointment_id) if guest.revoked_at is None]


async def list_all(db: Connection, appointment_id: str) -> Sequence[Guest]:
    """Return everybody who was ever invited to an appointment, also where the invitation was taken back."""
    return await storage.list_guests(db, appointment_id)


async def revoke(db: Connection, appointment_id: str, guest_id: str, *, by: str, now: datetime) -> Guest:
    """Take an invitation back: its link and sessions end, texts that have not left are withdrawn. Twice is once.

    Raises   NotFound
    """
    guest = await get_guest(db, appointment_id, guest_id)
    if not await storage.revoke_guest(db, guest.id, now=now):
        return guest
    await sessions.end_sessions_of(db, "guest", guest.id, why="revoked", now=now)
    if guest.person_id is not None:
        await texts.void(db, subject=f"appointment:{appointment_id}", person_id=guest.person_id, now=now)
    await announce.uninvited(db, guest, by=by, now=now)
    return guest


async def find_link(db: Connection, token: str, *, now: datetime, force: Force, keys: KeyRing) -> GuestLinkView:
    """Say what a guest's link leads to. It changes nothing; unknown, mangled and of an old key are told alike."""
    if not _TOKEN.fullmatch(token):
        return UNKNOWN
    guest = await storage.find_guest(db, token_sha256=digest(token))
    if guest is None or not keys.is_guest_token(token, guest.id, guest.generation):
        return UNKNOWN
    appointment = await get(db, guest.appointment_id)
    return GuestLinkView(guest_link_state(guest, appointment, now=now, force=force), guest, appointment)


async def trade(
    db: Connection, token: str, *, now: datetime, force: Force, keys: KeyRing
) -> tuple[Session, str, Guest, Appointment]:
    """Trade a guest's link for a session of its own; return it, the cookie's secret, the invitation, the appointment.

    Raises LinkUnknown, LinkOver, LinkCancelled
    """
    view = await find_link(db, token, now=now, force=force, keys=keys)
    if view.guest is None or view.appointment is None:
        raise LinkUnknown
    if view.state not in {"open", "early"}:
        raise LinkOver if view.state == "over" else LinkCancelled
    lifetime = room_closes_at(view.appointment, force) - now
    session, secret = await sessions.open_session(db, "guest", view.guest.id, now=now, lifetime=lifetime)
    await audit.record(
        db,
        actor=f"guest-session:{session.id}",
        action="appointments.guest_link_traded",
        subject=f"appointment:{view.appointment.id}",
        details={"guest": view.guest.id, "role": view.guest.role.value},
        now=now,
    )
    return session, secret, view.guest, view.appointment
