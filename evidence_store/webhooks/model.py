"""Values of webhooks: one destination, one delivery. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal["received", "quarantined", "held", "released", "disposed", "break-glass"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Hook:
    """One destination of the operator's list.

    events    what it is told, of KINDS
    networks  the only addresses it may have; empty: any public one, and none else
    ca        the certificate its own must lead to; None: one of those that this machine trusts
    """

    name: str
    url: str
    events: frozenset[str]
    secret: bytes = field(repr=False)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ca: Path | None = None


@dataclass(frozen=True)
class Delivery:
    """News on its way to one destination; `body` and `id` are the same at every try. `sequence` is the ledger's line.

    subject  what it is about, which is told in order: the object, or the incident where it is about all of one
    seal     the store's own, over all that does not change
    """

    id: str
    hook: str
    subject: str
    sequence: int
    body: str
    attempts: int
    made_at: datetime
    next_at: datetime
    seal: str = ""


@dataclass(frozen=True)
class Standing:
    """How it goes with one destination. `oldest` is when the news was made that waits longest."""

    waiting: int = 0
    dead: int = 0
    oldest: datetime | None = None
    problem: str = ""


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait after so many tries: 2 s doubling up to an hour."""
    return min(_LONGEST_PAUSE, timedelta(seconds=2 ** min(attempts, 12)))


def subject_of(object_id: str, incident: str) -> str:
    """Return what news is in order about."""
    return object_id or f"incident:{incident}"


def said_of(news_id: str, kind: str, *, at: datetime, sequence: int, **about: Any) -> dict[str, Any]:
    """Return the body of a delivery."""
    return {"id": news_id, "type": kind, "at": at.isoformat(), "sequence": sequence, **about}
