"""Limits on tries, counted in the database so that they hold across processes."""

from datetime import UTC, datetime, timedelta

from aiohttp import web

from video_server.core import keys
from video_server.core.errors import TooMany
from video_server.web import app_keys, storage


def window_start(now: datetime, window: timedelta) -> datetime:
    """Return the start of the fixed window that `now` falls into."""
    return datetime.fromtimestamp(now.timestamp() // window.total_seconds() * window.total_seconds(), UTC)


async def limit(request: web.Request, what: str, who: str, *, most: int, window: timedelta) -> None:
    """Count one try of `who` at `what`; raises TooMany past `most` in a window. Only a digest of `who` is kept."""
    now = request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        count = await storage.count_try(db, f"{what}:{keys.digest(who)[:32]}", window_at=window_start(now, window))
    if count > most:
        raise TooMany(what)


def remote(request: web.Request) -> str:
    """Return the caller's address; behind a proxy `app.py` has already put the forwarded one in place."""
    return request.remote or "-"
