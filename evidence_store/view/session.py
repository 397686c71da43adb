"""Coming in by a ticket, being in by a cookie, going out.

A cookie is a secret and a seal. The database knows the cookie's digest; the seal, by token.key, is over all that a row
says of who is in as what. So whoever writes rows alone lets nobody in, and makes nobody of an officer.

The cookie is the store's own: its path is /evidence, so that no browser shows it to the pages of another program on the
same origin, and none of that program's cookies is read here.
"""

from dataclasses import replace
from datetime import UTC, timedelta

from aiohttp import web

from evidence_store import app_keys
from evidence_store.errors import EntryNeeded, TicketRefused
from evidence_store.log import get_logger
from evidence_store.sealing import signing
from evidence_store.store import Store
from evidence_store.view import storage
from evidence_store.view.model import LASTS, Session
from evidence_store.view.tickets import open_ticket

log = get_logger(__name__)

COOKIE = "__Secure-evidence"
PATH = "/evidence"
REFERENCE = "Evidence-Reference"
_TOUCH_EVERY = timedelta(minutes=1)
_KEEP = timedelta(days=7)


async def enter(store: Store, ticket: str, *, old_cookie: str = "") -> tuple[Session, str]:
    """Trade a ticket for a session; return it and its cookie. Raises TicketRefused.

    old_cookie  that the browser had before: its session ends
    """
    now = store.clock()
    said = open_ticket(store.keys.grant, ticket, now=now)
    session = Session(
        id=signing.new_id(), ticket=said.id, person=said.person, title=said.title, role=said.role,
        incident=said.incident, reference=said.reference, home=said.home, opened_at=now, seen_at=now,
        ends_at=min(said.ends_at, now + LASTS),
    )  # fmt: skip
    cookie = _cookie_of(store, session, signing.new_key().hex())
    async with store.database.begin() as db:
        if not await storage.insert_session(db, session, secret_sha256=_digest(cookie)):
            raise TicketRefused("The ticket was used before.")
        old = await storage.find_session(db, _digest(old_cookie)) if old_cookie else None
        if old is not None:
            await storage.end_session(db, old.id, now=now)
        await storage.forget_sessions(db, before=now - _KEEP)
    return session, cookie


def _cookie_of(store: Store, session: Session, secret: str) -> str:
    """Return a secret with the seal over it and who is in by it, until when."""
    said = {
        "secret": secret, "id": session.id, "ticket": session.ticket, "person": session.person, "title": session.title,
        "role": session.role, "incident": session.incident, "reference": session.reference, "home": session.home,
        "ends": session.ends_at.astimezone(UTC).isoformat(),
    }  # fmt: skip
    return f"{secret}.{signing.seal(store.keys.token, 'visit1', said)}"


async def find(request: web.Request) -> Session:
    """Return the open session of the request's cookie. Raises EntryNeeded.

    Who forwards to us says whose session it is there; another one, or none any more, has no business with this one.
    """
    store, cookie = request.app[app_keys.STORE], request.cookies.get(COOKIE, "")
    if not cookie:
        raise EntryNeeded
    now = store.clock()
    async with store.database.read() as db:
        session = await storage.find_session(db, _digest(cookie))
    if session is None or not session.is_open(now):
        raise EntryNeeded
    if not signing.same(cookie, _cookie_of(store, session, cookie.partition(".")[0])):
        log.error("visit_not_genuine", visit=session.id)  # somebody wrote it into the database, or changed it there
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
    cookie = request.cookies.get(COOKIE, "")
    return _digest(f"form\n{cookie}")[:32] if cookie else ""


def set_cookie(response: web.StreamResponse, cookie: str) -> None:
    """Hand the cookie to the browser: this path only, HTTPS (or this machine) only, no script, no other site."""
    response.set_cookie(COOKIE, cookie, path=PATH, secure=True, httponly=True, samesite="Strict")


def clear_cookie(response: web.StreamResponse) -> None:
    """Make the browser forget the cookie."""
    response.del_cookie(COOKIE, path=PATH, secure=True, httponly=True, samesite="Strict")


def _digest(text: str) -> str:
    return signing.sha256_hex(text.encode(errors="surrogatepass"))
