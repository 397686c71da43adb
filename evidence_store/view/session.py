"""Coming in by a ticket, being in by a cookie, going out.

The cookie is the store's own: its path is /evidence, so that no browser shows it to the pages of another program on the
same origin, and none of that program's cookies is read here.
"""

from dataclasses import replace
from datetime import timedelta

from aiohttp import web

from evidence_store import app_keys
from evidence_store.errors import EntryNeeded, TicketRefused
from evidence_store.sealing import signing
from evidence_store.store import Store
from evidence_store.view import storage
from evidence_store.view.model import LASTS, Session
from evidence_store.view.tickets import open_ticket

COOKIE = "__Secure-evidence"
PATH = "/evidence"
REFERENCE = "Evidence-Reference"
_TOUCH_EVERY = timedelta(minutes=1)
_KEEP = timedelta(days=7)


async def enter(store: Store, ticket: str, *, old_secret: str = "") -> tuple[Session, str]:
    """Trade a ticket for a session; return it and the secret for its cookie. Raises TicketRefused.

    old_secret  of the cookie that the browser had before: that session ends
    """
    now = store.clock()
    said = open_ticket(store.keys.grant, ticket, now=now)
    secret = signing.new_key().hex()
    session = Session(
        id=signing.new_id(), ticket=said.id, person=said.person, title=said.title, role=said.role,
        incident=said.incident, reference=said.reference, home=said.home, opened_at=now, seen_at=now,
        ends_at=min(said.ends_at, now + LASTS),
    )  # fmt: skip
    async with store.database.begin() as db:
        if not await storage.insert_session(db, session, secret_sha256=_digest(secret)):
            raise TicketRefused("The ticket was used before.")
        old = await storage.find_session(db, _digest(old_secret)) if old_secret else None
        if old is not None:
            await storage.end_session(db, old.id, now=now)
        await storage.forget_sessions(db, before=now - _KEEP)
    return session, secret


async def find(request: web.Request) -> Session:
    """Return the open session of the request's cookie. Raises EntryNeeded.

    Who forwards to us says whose session it is there; another one, or none any more, has no business with this one.
    """
    store, secret = request.app[app_keys.STORE], request.cookies.get(COOKIE, "")
    if not secret:
        raise EntryNeeded
    now = store.clock()
    async with store.database.read() as db:
        session = await storage.find_session(db, _digest(secret))
    if session is None or not session.is_open(now):
        raise EntryNeeded
    if session.reference and not signing.same(session.reference, request.headers.get(REFERENCE, "")):
        raise EntryNeeded
    if now - session.seen_at > _TOUCH_EVERY:
        async with store.database.begin() as db:
            await storage.touch_session(db, session.id, now=now)
        session = replace(session, seen_at=now)
    return session


async def leave(store: Store, session: Session) -> None:
    """End a session."""
    async with store.database.begin() as db:
        await storage.end_session(db, session.id, now=store.clock())


def form_key(request: web.Request) -> str:
    """Return what every form of this session carries: other sites do not know the cookie it is made from."""
    secret = request.cookies.get(COOKIE, "")
    return _digest(f"form\n{secret}")[:32] if secret else ""


def set_cookie(response: web.StreamResponse, secret: str) -> None:
    """Hand the secret to the browser: this path only, HTTPS (or this machine) only, no script, no other site."""
    response.set_cookie(COOKIE, secret, path=PATH, secure=True, httponly=True, samesite="Strict")


def clear_cookie(response: web.StreamResponse) -> None:
    """Make the browser forget the cookie."""
    response.del_cookie(COOKIE, path=PATH, secure=True, httponly=True, samesite="Strict")


def _digest(secret: str) -> str:
    return signing.sha256_hex(secret.encode())
