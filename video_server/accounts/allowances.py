"""How often a password may be got wrong, and by whom. Pure.

Guessing at one account is bounded wherever it comes from. Were everybody counted together, a stranger with a few
addresses could keep an officer out of the booth by nothing but wrong passwords. So a browser that has signed in to the
account before is known by a cookie (after OWASP's "device cookies"): it has an allowance of its own, which no stranger
can use up, and what strangers do shuts out strangers alone. The cookie signs nobody in; whoever steals it has as many
guesses as an address has.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from video_server.core import keys
from video_server.core.keys import KeyRing
from video_server.web.limits import Ceiling

MOST_FAILURES = 5
"""By one known browser, or from one address at one account: nobody elsewhere is locked out by it."""
MOST_FAILURES_OF_ACCOUNT = 50
MOST_FAILURES_OF_ADDRESS = 60  # a whole station may be behind one
LOCKED_FOR = timedelta(minutes=15)
KNOWN_FOR = timedelta(days=180)
_MOST_KNOWN = 12  # colleagues who share a computer; whoever was there longest ago is forgotten first
_COOKIE = re.compile(r"[0-9a-f]{32}(\.[A-Za-z0-9_-]{22}){1,12}")


@dataclass(frozen=True)
class Device:
    """A browser in which somebody has signed in. `marks` stand for whom, newest first; they tell nobody who."""

    id: str
    marks: tuple[str, ...] = ()

    def knows(self, username: str, key_ring: KeyRing) -> bool:
        """Say whether this account was signed in to here before."""
        return any(key_ring.is_device_mark(mark, self.id, username) for mark in self.marks)

    def after(self, username: str, key_ring: KeyRing) -> "Device":
        """Return it as it is once this account was signed in to."""
        mark = key_ring.device_mark(self.id, username)
        return Device(self.id, (mark, *(other for other in self.marks if other != mark))[:_MOST_KNOWN])

    def write(self) -> str:
        """Write it as a cookie."""
        return ".".join((self.id, *self.marks))


def read_device(cookie: str) -> Device:
    """Return the browser that a cookie names, or a new one that knows nobody."""
    if not _COOKIE.fullmatch(cookie):
        return Device(keys.new_id())
    device_id, *marks = cookie.split(".")
    return Device(device_id, tuple(marks))


def ceilings(username: str, *, address: str, device_id: str = "") -> dict[str, Ceiling]:
    """Return what bounds this try, by whose allowance it is; the first is forgotten when the password is right.

    device_id  of a browser that knows the account; empty for a stranger's
    """
    account = failures_of(username)
    if device_id:
        name = f"{account}device:{keys.digest(device_id)[:32]}"
        return {"device": Ceiling(name, MOST_FAILURES, LOCKED_FOR, since_the_last=True)}
    whence = keys.digest(address)[:32]
    return {
        "address_at_account": Ceiling(f"{account}{whence}", MOST_FAILURES, LOCKED_FOR, since_the_last=True),
        "account": Ceiling(f"{account}anywhere", MOST_FAILURES_OF_ACCOUNT, LOCKED_FOR),
        "address": Ceiling(f"sign-in-from:{whence}", MOST_FAILURES_OF_ADDRESS, LOCKED_FOR),
    }


def failures_of(username: str) -> str:
    """Return how the names of all counters of one account begin."""
    return f"sign-in:{keys.digest(username)[:32]}:"


def used_up(bounds: dict[str, Ceiling], counts: Sequence[int]) -> list[str]:
    """Return whose allowances this very failure has used up, so that each is told once."""
    return [whose for (whose, ceiling), count in zip(bounds.items(), counts, strict=True) if count == ceiling.most]
