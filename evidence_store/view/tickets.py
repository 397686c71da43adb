"""Tickets: how the program that knows who staff are lets one of them into these pages.

A ticket is a signed value `ticket1` under the shared grant key. It says who, as which role, and until when their own
session lasts; it is good once, for a minute. It travels in a form's body, never in an address.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from evidence_store.errors import TicketRefused
from evidence_store.model import parse_incident
from evidence_store.sealing import signing
from evidence_store.tokens import Scope

TICKET_LASTS = timedelta(seconds=60)
_MAX_AHEAD = timedelta(seconds=90)  # the other program's clock may go a little ahead of ours
_PERSON = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")
_HOME = re.compile(r"/[a-z0-9/_-]{0,60}")
_MAX_CHARS = 120

ROLES: dict[str, frozenset[Scope]] = {
    "evidence": frozenset(
        {
            Scope.READ,
            Scope.QUARANTINE,
            Scope.RELEASE,
            Scope.ANNOTATE,
            Scope.HOLD,
            Scope.RETENTION,
            Scope.REVIEW,
            Scope.DISPOSE,
            Scope.TRAIL,
            Scope.EXPORT,
        }
    ),
    "officer": frozenset({Scope.READ, Scope.ANNOTATE}),
}
"""What each role may do here. A role that does not stand here may do nothing."""

BOUND = frozenset({"officer"})
"""Roles that see one incident, which the ticket names."""


@dataclass(frozen=True)
class Ticket:
    """What a genuine ticket says. `reference` is the other program's own word for the session it comes from."""

    id: str
    person: str
    title: str
    role: str
    incident: str | None
    reference: str
    home: str
    ends_at: datetime


def make_ticket(
    key: bytes,
    *,
    person: str,
    title: str,
    role: str,
    expires_at: datetime,
    ends_at: datetime,
    incident: str | None = None,
    reference: str = "",
    home: str = "",
) -> str:
    """Return a signed ticket.

    key         the shared grant key, 32 bytes
    person      who it is, the same at every entry: lower case letters, digits and . _ @ -, at most 60; stands in the
                ledger, and two people of one name are one person
    title       how the pages call them, such as "PC Smith"
    role        evidence, or officer (of one incident)
    expires_at  aware; a minute ahead (TICKET_LASTS)
    ends_at     aware; when they are out at the latest
    incident    the only one they see
    reference   what the forwarder must send along as Evidence-Reference, so that a session which ended there ends here
    home        path on the same origin that leads back
    """
    payload = {
        "id": signing.new_id(),
        "person": person,
        "title": title[:_MAX_CHARS],
        "role": role,
        "incident": incident,
        "reference": reference[:64],
        "home": home,
        "expires": int(expires_at.timestamp()),
        "ends": int(ends_at.timestamp()),
    }
    return signing.sign(key, "ticket1", payload)


def open_ticket(key: bytes, value: str, *, now: datetime) -> Ticket:
    """Return what a ticket says. Raises TicketRefused when it is not genuine, not valid now, or for no role of ours."""
    try:
        said = signing.open_signed(key, "ticket1", value)
    except signing.NotGenuine:
        raise TicketRefused("The ticket is not genuine.") from None
    expires_at, ends_at = (datetime.fromtimestamp(int(said[name]), UTC) for name in ("expires", "ends"))
    if not now < expires_at <= now + _MAX_AHEAD:
        raise TicketRefused("The ticket has expired, or lasts longer than a ticket may.")
    person, role, home = str(said["person"]), str(said["role"]), str(said["home"])
    if role not in ROLES or (role in BOUND and said["incident"] is None) or not _PERSON.fullmatch(person):
        raise TicketRefused("Nobody with this name and role may come in.")
    return Ticket(
        id=str(said["id"])[:32],
        person=person,
        title=str(said["title"])[:_MAX_CHARS],
        role=role,
        incident=None if said["incident"] is None else parse_incident(str(said["incident"])),
        reference=str(said["reference"])[:64],
        home=home if _HOME.fullmatch(home) else "",
        ends_at=ends_at,
    )
