"""Refusals that concern an object, into the ledger: who tried what they may not, or what the rules forbid.

One line for each actor, object, reason and route in ten minutes, and a few a minute for one actor: refusals must not
fill the ledger. Of somebody whose credential is not genuine only what is about an existing object is noted, as by
`unknown`.
"""

from aiohttp import web

from evidence_store import app_keys, storage
from evidence_store.errors import (
    Arrived,
    BadRequest,
    BearerExpired,
    Conflict,
    DigestMismatch,
    Disposed,
    Forbidden,
    GrantRefused,
    Held,
    KeyReused,
    LabelSigned,
    MarkTaken,
    NotQuarantined,
    NotScreened,
    OtherIncident,
    QuarantineChanged,
    Quarantined,
    Refusal,
    ReleaseClosed,
    ReleaseOpen,
    RetentionRuns,
    ReviewClosed,
    ReviewOpen,
    SamePerson,
    Unauthorized,
    WrongKind,
)
from evidence_store.log import get_logger
from evidence_store.model import parse_id

log = get_logger(__name__)
_NOTED = (
    Arrived, BearerExpired, Conflict, Disposed, Forbidden, GrantRefused, Held, LabelSigned, MarkTaken, NotQuarantined,
    NotScreened, OtherIncident, QuarantineChanged, Quarantined, ReleaseClosed, ReleaseOpen, RetentionRuns, ReviewClosed,
    ReviewOpen, SamePerson, Unauthorized,
)  # fmt: skip
_SEALS = {"objects.put", "objects.post"}
NOTED_OF_SEALING = (*_NOTED, DigestMismatch, KeyReused, WrongKind)
"""What stands in the ledger when an object is being sealed; in every other case _NOTED alone."""
_UNKNOWN = "unknown"
_PER_MINUTE, _PER_MINUTE_UNKNOWN = 60, 6


async def note(request: web.Request, refusal: Refusal, *, about: str = "") -> None:
    """Write a refusal into the ledger where it is to be; durable when this returns.

    about   the object, where neither the refusal nor the address names it
    A ledger that cannot be written makes no refusal into anything else.
    """
    try:
        await _note(request, refusal, about)
    except Exception:
        log.exception("refusal_not_noted")


async def _note(request: web.Request, refusal: Refusal, about: str) -> None:
    seals = request.match_info.route.name in _SEALS
    object_id = _about(request, refusal.about or about)
    if object_id is None or not isinstance(refusal, NOTED_OF_SEALING if seals else _NOTED):
        return
    token = request.get(app_keys.TOKEN)
    actor = token.actor if token is not None else refusal.actor or _UNKNOWN
    async with request.app[app_keys.STORE].database.read() as db:
        stored = await storage.find_object(db, object_id)
        is_known = stored is not None or await storage.find_upload(db, object_id) is not None
    if not is_known and (actor == _UNKNOWN or not seals):
        return
    per_minute = _PER_MINUTE_UNKNOWN if actor == _UNKNOWN else _PER_MINUTE
    if request.app[app_keys.LIMITS].take("refusals", actor, per_minute):
        return
    await request.app[app_keys.READS].record_refusal(
        object_id, stored.sha256 if stored else "", actor=actor, why=refusal.code, asked=_asked(request)
    )


def _about(request: web.Request, named: str) -> str | None:
    try:
        return parse_id(named or request.match_info.get("id", ""))
    except BadRequest:
        return None


def _asked(request: web.Request) -> str:
    route = request.match_info.route
    place = f" {route.resource.canonical}" if route.resource is not None else ""
    return route.name or f"{request.method}{place}"
