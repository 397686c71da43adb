"""Limits on tries: counted in the database, so that they hold across processes, or here, where nothing may be written.

Only digests of whom they count are kept.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from aiohttp import web

from video_server.core import keys
from video_server.core.database import Connection
from video_server.core.errors import TooMany
from video_server.web import app_keys, storage


class Tries:
    """Counters of this process; when there are too many, those go that were used longest ago."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._counts: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def count(self, name: str, *, window_at: datetime) -> int:
        """Add one to the counter of `name` in this window and return it; a new window starts at 1."""
        began, count = self._counts.pop(name, (window_at, 0))
        self._counts[name] = (window_at, count + 1 if began == window_at else 1)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return self._counts[name][1]

    def __len__(self) -> int:
        return len(self._counts)


TRIES = web.AppKey("tries", Tries)


def window_start(now: datetime, window: timedelta) -> datetime:
    """Return the start of the fixed window that `now` falls into."""
    return datetime.fromtimestamp(now.timestamp() // window.total_seconds() * window.total_seconds(), UTC)


async def limit(request: web.Request, what: str, who: str, *, most: int, window: timedelta) -> None:
    """Count one try of `who` at `what`; raises TooMany past `most` in a window, and writes nothing more then."""
    name, window_at = _name(what, who), window_start(request.app[app_keys.CLOCK](), window)
    database = request.app[app_keys.DATABASE]
    async with database.read() as db:
        if await storage.read_tries(db, name, since=window_at - timedelta(microseconds=1)) >= most:
            raise TooMany(what)
    async with database.begin() as db:
        count = await storage.count_try(db, name, window_at=window_at)
    if count > most:
        raise TooMany(what)


def limit_here(request: web.Request, what: str, who: str, *, most: int, window: timedelta) -> None:
    """Count one try in this process only: a GET writes nothing. Raises TooMany past `most` in a window."""
    window_at = window_start(request.app[app_keys.CLOCK](), window)
    if request.app[TRIES].count(_name(what, who), window_at=window_at) > most:
        raise TooMany(what)


@dataclass(frozen=True)
class Ceiling:
    """How many failures `name` may have until `window` has gone by: since the last one, or since the first.

    name  holds digests only
    """

    name: str
    most: int
    window: timedelta
    since_the_last: bool = False


async def reached(db: Connection, ceilings: Sequence[Ceiling], *, now: datetime) -> bool:
    """Say whether any of the ceilings is reached."""
    return any([await storage.read_tries(db, c.name, since=now - c.window) >= c.most for c in ceilings])


async def count_failure(db: Connection, ceilings: Sequence[Ceiling], *, now: datetime) -> Sequence[int] | None:
    """Count one failure against each ceiling; return the counts, None when any ceiling was reached before.

    Whoever counts at the same time waits until this transaction ends, so that nobody gets past a ceiling.
    """
    counts = [
        await storage.count_failure(db, c.name, now=now, since=now - c.window, prolong=c.since_the_last)
        for c in ceilings
    ]
    return None if any(count > c.most for count, c in zip(counts, ceilings, strict=True)) else counts


async def take_back(db: Connection, ceilings: Sequence[Ceiling]) -> None:
    """Undo what count_failure counted in this transaction: it was none."""
    for ceiling in ceilings:
        await storage.take_back_failure(db, ceiling.name)


async def forget(db: Connection, prefix: str) -> None:
    """Forget every failure counted under names that begin with `prefix`."""
    await storage.delete_tries(db, prefix)


def remote(request: web.Request) -> str:
    """Return whom to count: the caller's address, of IPv6 the /64 that one subscriber has to itself.

    Behind a proxy `app.py` has already put the forwarded one in place.
    """
    return neighbourhood(request.remote or "-")


def neighbourhood(address: str) -> str:
    """Return an IPv4 address as it is, the /64 of an IPv6 address, anything else as it is."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or IPv6Network((int(ip), 64), strict=False))


def _name(what: str, who: str) -> str:
    return f"{what}:{keys.digest(who)[:32]}"
