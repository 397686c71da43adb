"""What a running store consists of; handed to every function that does something."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from evidence_store import ledger, seals
from evidence_store.backend import Backend
from evidence_store.clock import Clock
from evidence_store.config import Settings
from evidence_store.database import Connection, Database
from evidence_store.errors import Elsewhere
from evidence_store.log import get_logger
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.notify.model import Event
from evidence_store.notify.storage import insert_event
from evidence_store.sealing import signing
from evidence_store.sealing.keys import Keys
from evidence_store.webhooks.model import Hook

log = get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
WORKERS = 4
SENDERS = 8
_SAME_DAMAGE, _MOST_DAMAGE, _MOST_DOUBTS = timedelta(days=1), 10_000, 1_000
_Damage = tuple[str, str, str]


class News:
    """Wakes everybody who waits for something to tell. Each waits for what comes behind their own last look."""

    def __init__(self) -> None:
        self._coming = asyncio.Event()

    def set(self) -> None:
        """Say that there is something."""
        self._coming.set()
        self._coming = asyncio.Event()

    def coming(self) -> asyncio.Event:
        """Return what is set when something comes from now on: ask before looking, wait behind it."""
        return self._coming


async def wait_for_news(coming: asyncio.Event, seconds: float) -> None:
    """Wait until something came, or so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(coming.wait(), seconds)


class Told:
    """What this process wrote into the ledger as damaged, by object, who met it and words: each once a day.

    What is tried each minute meets it each minute; and who can damage much must not fill the ledger, so that in a day
    no more than `most` are written. The log has each of them, each time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._at: dict[_Damage, datetime] = {}

    def choose(self, met: Iterable[_Damage], now: datetime) -> list[_Damage]:
        """Return which of these are to be written now; `note` them once they are."""
        self._at = {one: at for one, at in self._at.items() if timedelta(0) <= now - at < _SAME_DAMAGE}
        fresh = [one for one in met if one not in self._at]
        return fresh[: max(0, self._most - len(self._at))]

    def note(self, written: Iterable[_Damage], now: datetime) -> None:
        """Keep in mind what was written."""
        self._at |= dict.fromkeys(written, now)


@dataclass
class Store:
    """Database, folder, keys, clock, worker threads of one process."""

    settings: Settings
    database: Database
    backend: Backend
    keys: Keys
    clock: Clock
    hooks: tuple[Hook, ...] = ()
    """Who else is told what happens."""
    node: str = ""
    """Whose uploads lie in the data folder."""
    is_fenced: bool = False
    """The same node was seen running elsewhere: then nothing here is ours to write."""
    news: News = field(default_factory=News)
    vouched: OrderedDict[str, tuple[StoredObject, str]] = field(default_factory=OrderedDict)
    """Rows that the ledger was seen to vouch for, by id, with the digest of their header (see `vouching`)."""
    not_vouched: int = 0
    """How often this process met a row of which the signed ledger says something else."""
    refused: set[str] = field(default_factory=set)
    """Rows that this process refused to act on, and said so in the ledger (see `waiting`)."""
    damage: Told = field(default_factory=lambda: Told(_MOST_DAMAGE))
    """Files that are not as they were written."""
    doubts: Told = field(default_factory=lambda: Told(_MOST_DOUBTS))
    """Rows that the ledger does not vouch for: of them too many leave room for the files."""
    _workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WORKERS, "seal"))

    _senders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(SENDERS, "send"))

    def is_own(self, node: str) -> bool:
        """Say whether a row that names `node` is about this one; rows from before nodes had names say nothing."""
        return node in {"", self.node}

    def check_holds(self, node: str) -> None:
        """Pass when what a row names `node` for lies here and is ours to write. Raises Elsewhere."""
        if self.is_fenced or not self.is_own(node):
            raise Elsewhere(node=node)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work (files, hashing, sealing) in a worker thread."""
        return await self.start(work, *args, **kwargs)

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin blocking work and return its future."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._workers, lambda: work(*args, **kwargs))

    async def send(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what may take minutes (gigabytes to a bucket) where it keeps nobody else waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._senders, lambda: work(*args, **kwargs))

    async def record(self, db: Connection, *, actor: str, action: Action, object_id: str, digest: str = "",
                     purpose: str = "", **details: Any) -> int:  # fmt: skip
        """Append a line to the ledger in the caller's transaction and return its sequence; do it last, others wait."""
        draft = ledger.Draft(
            at=self.clock(), actor=actor, action=action, object_id=object_id, digest=digest, purpose=purpose,
            details=details,
        )  # fmt: skip
        return await ledger.append(db, self.keys.ledger, [draft])

    async def record_damage(self, object_id: str, *, actor: str, what: str, digest: str = "") -> None:
        """Say in the ledger that something is not as it was written: once a day for each who meets it."""
        log.error("object_damaged", object=object_id, problem=what)
        await self._record_damaged(self.damage, [(object_id, actor, what)], digest=digest)

    async def record_doubts(self, faults: Mapping[str, str], *, actor: str) -> None:
        """Say in the ledger, at once and once a day for each who meets it, what is wrong with these objects' rows."""
        await self._record_damaged(self.doubts, [(object_id, actor, what) for object_id, what in faults.items()])

    async def _record_damaged(self, told: Told, met: list[_Damage], *, digest: str = "") -> None:
        now = self.clock()
        written = told.choose(met, now)
        if not written:
            return
        drafts = [
            ledger.Draft(now, actor, Action.DAMAGED, object_id, digest, details={"what": what})
            for object_id, actor, what in written
        ]
        async with self.database.begin() as db:
            await ledger.append(db, self.keys.ledger, drafts)
        told.note(written, now)

    async def tell(self, db: Connection, kind: str, object_id: str, incident: str, **details: str) -> None:
        """Queue news for the web server in the caller's transaction."""
        now = self.clock()
        event_id = signing.new_id()
        at = now.isoformat()
        body = {"id": event_id, "type": kind, "object": object_id, "incident": incident, "at": at, **details}
        event = Event(event_id, ledger.canonical_json(body), attempts=0, next_at=now)
        await insert_event(db, seals.sealed(self.keys.bearer, event))

    async def close(self) -> None:
        """Let the workers finish and close the database."""
        for workers in (self._workers, self._senders):
            workers.shutdown(wait=True)
        await self.database.dispose()


def verdict_of(stored: StoredObject) -> Action:
    """Return what the ledger, and the news about it, call the end of an object's arrival."""
    return Action.QUARANTINED if stored.verdict is ObjectState.QUARANTINED else Action.RECEIVED


def description_of(stored: StoredObject) -> dict[str, Any]:
    """Return what the line that seals an object says of it."""
    known = {"officer": stored.officer, "header_sha256": stored.header_sha256}
    return {name: value for name, value in known.items() if value} | {
        "incident": stored.incident,
        "size_bytes": stored.size_bytes,
        "media_type": stored.media_type,
        "kind": stored.kind,
        "client_digest": stored.client_digest.value,
        "received_at": ledger.written(stored.received_at),
    }
