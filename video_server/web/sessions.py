"""Sessions: a random secret in a `__Host-` cookie, a row that can be ended at any time.

Each kind has its own cookie, so that an officer who tries a victim's link in the same browser loses neither.
"""

from datetime import datetime, timedelta

from aiohttp import web

from video_server.core import keys
from video_server.core.database import Connection
from video_server.web import app_keys, storage
from video_server.web.model import Session

COOKIES = {"staff": "__Host-staff", "phone": "__Host-phone", "guest": "__Host-guest"}
LIFETIME = {"staff": timedelta(hours=12), "phone": timedelta(hours=26), "guest": timedelta(hours=26)}
IDLE = {"staff": timedelta(hours=2), "phone": timedelta(hours=26), "guest": timedelta(hours=26)}
KEEP = timedelta(days=2)
_TOUCH_EVERY = timedelta(minutes=1)


async def open_session(
    db: Connection, kind: str, subject: str, *, now: datetime, lifetime: timedelta | None = None
) -> tuple[Session, str]:
    """Make a session row; return it and the secret for the cookie. Each sign-in makes its own: no fixation."""
    secret = keys.new_secret()
    session = Session(keys.new_id(), kind, subject, now, now, now + (lifetime or LIFETIME[kind]))
    await storage.insert_session(db, session, secret_sha256=keys.digest(secret))
    return session, secret


async def end_session(db: Connection, session_id: str, *, why: str, now: datetime) -> None:
    """End one session; ending it twice changes nothing."""
    await storage.end_session(db, session_id, why=why, now=now)


async def end_sessions_of(
    db: Connection, kind: str, subject: str, *, why: str, now: datetime, but: str | None = None
) -> int:
    """End every open session of a subject, except `but`; return how many ended."""
    return await storage.end_sessions_of(db, kind, subject, why=why, now=now, but=but)


async def forget_old(db: Connection, *, now: datetime) -> int:
    """Drop sessions that ran out, and counters of tries that began, more than KEEP ago; return how many."""
    return await storage.delete_sessions_before(db, now - KEEP) + await storage.delete_tries_before(db, now - KEEP)


async def find_session(request: web.Request, kind: str) -> Session | None:
    """Return the open session of this kind that the request's cookie names, or None."""
    secret = request.cookies.get(COOKIES[kind], "")
    if not 20 <= len(secret) <= 100 or not secret.isascii():  # a cookie's bytes may be anything
        return None
    now = request.app[app_keys.CLOCK]()
    database = request.app[app_keys.DATABASE]
    async with database.read() as db:
        session = await storage.find_session(db, keys.digest(secret))
    if session is None or session.kind != kind or not session.is_open(now) or now - session.seen_at > IDLE[kind]:
        return None
    if now - session.seen_at > _TOUCH_EVERY:
        async with database.begin() as db:
            await storage.touch_session(db, session.id, now=now, expires_at=session.expires_at)
    return session


async def is_still_open(db: Connection, session_id: str, *, now: datetime) -> bool:
    """Say whether a session that opened a socket earlier may keep it."""
    session = await storage.find_session_by_id(db, session_id)
    return session is not None and session.is_open(now)


def set_cookie(response: web.StreamResponse, kind: str, secret: str) -> None:
    """Hand the secret to the browser: this host only, HTTPS (or localhost) only, no script, no cross-site use."""
    response.set_cookie(COOKIES[kind], secret, path="/", secure=True, httponly=True, samesite="Lax")


def clear_cookie(response: web.StreamResponse, kind: str) -> None:
    """Make the browser forget the cookie; the row must be ended as well."""
    response.del_cookie(COOKIES[kind], path="/", secure=True, httponly=True, samesite="Lax")
