"""Court packages that were given out in this visit: how far each is, and whether all of it was sent.

What the ledger says is the truth: a line before the first byte, another behind the last. How much of it was sent so
far is known to the process that sends it, and only while it does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from evidence_store import app_keys, ledger
from evidence_store.database import Connection
from evidence_store.model import Action, Entry, StoredObject
from evidence_store.tokens import Scope
from evidence_store.view import guards, pages, storage

routes = web.RouteTableDef()
_MOST_LINES = 2000


@dataclass
class Sending:
    """What this process sends now: bytes gone through of each package. An exhibit is read twice: checked, then sent."""

    done: dict[str, tuple[int, int]] = field(default_factory=dict)

    def begin(self, package: str, total_bytes: int) -> Callable[[int], None]:
        """Return what is told of the bytes that were gone through."""
        self.done[package] = (0, total_bytes)

        def told(more: int) -> None:
            gone, total = self.done[package]
            self.done[package] = (gone + more, total)

        return told

    def end(self, package: str) -> None:
        """Forget a package that is not sent any more."""
        self.done.pop(package, None)

    def percent(self, package: str) -> int | None:
        """Return how much of a package was gone through; None when this process does not send it."""
        gone, total = self.done.get(package, (0, 0))
        return min(99, 100 * gone // total) if total else None


SENDING = web.AppKey("view_sending", Sending)


@dataclass(frozen=True)
class Given:
    """One package. `percent` of it was gone through, None when it is not being sent by this process."""

    package: str
    recipient: str
    exhibits: int
    begun_at: datetime
    sent_at: datetime | None
    percent: int | None


def given_of(entries: Sequence[Entry], actor: str, sending: Sending) -> list[Given]:
    """Return the packages that somebody was given, by the ledger's lines on what is chosen; the newest first."""
    begun: dict[str, list[Entry]] = {}
    sent: dict[str, datetime] = {}
    for entry in entries:
        package = str(entry.details.get("package", ""))
        if entry.actor != actor or not package:
            continue
        if entry.action == Action.SHARED:
            begun.setdefault(package, []).append(entry)
        elif entry.action == Action.EXPORTED:
            sent[package] = entry.at
    return [
        Given(package, str(lines[0].details.get("recipient", "")), len(lines), lines[0].at, sent.get(package),
              None if package in sent else sending.percent(package))
        for package, lines in reversed(begun.items())
    ]  # fmt: skip


async def list_given(request: web.Request, db: Connection, chosen: Sequence[StoredObject]) -> list[Given]:
    """Return the packages of this visit in which anything is that is still chosen."""
    lines = await ledger.list_newest_on(db, [stored.id for stored in chosen], limit=_MOST_LINES)
    return given_of(lines, request[app_keys.TOKEN].actor, request.app[SENDING])


@routes.get("/evidence/view/package/given", name="view.given", allow_head=False)
@guards.person(Scope.EXPORT)
async def show(request: web.Request) -> web.Response:
    """Send the list alone, for a page that waits for a package."""
    async with request.app[app_keys.STORE].database.read() as db:
        chosen = await storage.list_chosen(db, request[guards.PERSON].id)
        given = await list_given(request, db, chosen)
    return pages.render(request, "given.html", given=given)
