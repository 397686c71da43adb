"""The join link: find what it leads to (never changes anything), trade it for a session (a POST), write it again."""

import re
from datetime import datetime

from video_server.appointments import storage
from video_server.appointments.model import Appointment, Guest, LinkView, link_state, room_closes_at
from video_server.audit import service as audit
from video_server.core.database import Connection
from video_server.core.errors import N_, Refusal
from video_server.core.force import Force
from video_server.core.keys import KeyRing, digest
from video_server.web import sessions
from video_server.web.model import Session

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
UNKNOWN = LinkView("unknown", None)


class LinkNotOpen(Refusal):
    """The link leads nowhere now."""

    code = "link_not_open"
    status = 404
    public = N_("This link does not work. Check that you opened all of it, or ring us.")


class LinkUnknown(LinkNotOpen):
    code = "link_unknown"


class LinkOver(LinkNotOpen):
    code = "link_over"
    status = 410
    public = N_("This appointment is over and its link has ended. Ring us if you still need us.")


class LinkCancelled(LinkNotOpen):
    code = "link_cancelled"
    status = 410
    public = N_("This appointment was cancelled. Ring us if you still need us.")


_REFUSALS: dict[str, type[LinkNotOpen]] = {
    "unknown": LinkUnknown,
    "over": LinkOver,
    "cancelled": LinkCancelled,
}


async def find_link(db: Connection, token: str, *, now: datetime, force: Force, keys: KeyRing) -> LinkView:
    """Say what a join link leads to. It changes nothing: previews and bots fetch links too.

    A token nobody gave out, a mangled one and one of an old key are told alike: "unknown", without an appointment.
    """
    if not _TOKEN.fullmatch(token):
        return UNKNOWN
    found = await storage.find_link_by_digest(db, digest(token))
    if found is None:
        return UNKNOWN
    appointment, generation, voided = found
    if not keys.is_link_token(token, appointment.id, generation):
        return UNKNOWN
    return LinkView(link_state(appointment, voided=voided, now=now, force=force), appointment)


async def trade(
    db: Connection, token: str, *, now: datetime, force: Force, keys: KeyRing
) -> tuple[Session, str, Appointment]:
    """Trade a link for a session of its own; return it, the cookie's secret and the appointment.

    An early one too: its page says when the room opens, which nobody sees before the trade. Sessions made before
    stay: people move from an app's built-in browser to their real one.
    Raises LinkUnknown, LinkOver, LinkCancelled
    """
    view = await find_link(db, token, now=now, force=force, keys=keys)
    if view.state in _REFUSALS or view.appointment is None:
        raise _REFUSALS[view.state]
    appointment = view.appointment
    lifetime = room_closes_at(appointment, force) - now
    session, secret = await sessions.open_session(db, "phone", appointment.id, now=now, lifetime=lifetime)
    await audit.record(
        db,
        actor=f"phone:{session.id}",
        action="appointments.link_traded",
        subject=f"appointment:{appointment.id}",
        now=now,
    )
    return session, secret, appointment


async def link_url(db: Connection, link_id: str, *, key_ring: KeyRing, public_url: str) -> str | None:
    """Write a link's address again, the person's or a guest's, for a text at hand-over; None when it was voided."""
    found = await storage.find_link(db, link_id)
    if found:
        return f"{public_url}/j/{key_ring.link_token(*found)}"
    guest = await storage.find_guest(db, guest_id=link_id)
    if guest is None or guest.revoked_at is not None:
        return None
    return guest_url(guest, key_ring=key_ring, public_url=public_url)


def guest_url(guest: Guest, *, key_ring: KeyRing, public_url: str) -> str:
    """Write the address of a guest's link."""
    return f"{public_url}/g/{key_ring.guest_token(guest.id, guest.generation)}"


async def find_link_of(db: Connection, appointment_id: str) -> str | None:
    """Return the id of an appointment's link, or None when it was voided."""
    return await storage.find_link_of(db, appointment_id)
