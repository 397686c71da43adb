"""What waits in the database for this program to act on it: believed under the program's own seal alone (see `seals`).

What waited before a node made seals was sealed as it stood, once: when the node first ran this version, which a file in
its key folder remembers, since the database is what is not believed here.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from evidence_store import seals, storage
from evidence_store.database import Connection
from evidence_store.ledger import Draft
from evidence_store.log import get_logger
from evidence_store.model import Action, StoredObject, Upload, is_id
from evidence_store.notify import storage as news
from evidence_store.notify.model import Event
from evidence_store.seals import Waiting
from evidence_store.store import Store
from evidence_store.webhooks import storage as webhooks
from evidence_store.webhooks.model import Delivery

log = get_logger(__name__)
_ACTOR = "system:store"
_PAGE = 1000
_MOST_LINES = 100  # of one process: who writes rows must not fill the ledger
_NAMES: dict[type, str] = {
    Upload: "the row of an upload under way", StoredObject: "the row of an object on its way to its place",
    Event: "news for the web server", Delivery: "news for a webhook",
}  # fmt: skip


def describe(row: Waiting) -> str:
    """Return in words that a row is not this store's."""
    return f"{_NAMES[type(row)]} was not written by this store, or was changed since"


async def refuse(store: Store, row: Waiting) -> None:
    """Say that a row is not believed: in the log each time, in the ledger once in the life of a process."""
    log.error("row_not_ours", row=row.id if is_id(row.id) else "", what=_NAMES[type(row)])
    if row.id in store.refused or len(store.refused) >= _MOST_LINES:
        return
    name = row.id if is_id(row.id) else ""
    is_news = isinstance(row, Event | Delivery)
    said = {"what": describe(row)} | ({"news": name} if is_news else {})
    async with store.database.begin() as db:
        await store.record(db, actor=_ACTOR, action=Action.DAMAGED, object_id="" if is_news else name, **said)
    store.refused.add(row.id)


def draft_refused(row: Upload | StoredObject, *, actor: str, now: datetime) -> Draft:
    """Return the ledger's line for a row that `actor` closes without believing it."""
    return Draft(now, actor, Action.DAMAGED, row.id if is_id(row.id) else "", details={"what": describe(row)})


async def begin_seals(store: Store) -> None:
    """Seal what waits for this node as it stands, if the node never did."""
    if store.keys.has_begun_seals:
        return
    async with store.database.begin() as db:
        count = await adopt(store, db)
    if count:
        log.warning("rows_sealed_as_they_stood", rows=count)
    await store.run(store.keys.begin_seals)


async def adopt(store: Store, db: Connection) -> int:
    """Seal every row that waits for this node, as it stands, and has no seal of ours; return how many."""
    count = 0
    async for page in _pages(db):
        mine = [row for row in page if not isinstance(row, Upload | StoredObject) or store.is_own(row.node)]
        for row in mine:
            if not seals.is_own(store.keys.bearer, row):
                count += await _set_seal(db, seals.sealed(store.keys.bearer, row), before=row.seal)
    return count


async def find_forged(store: Store) -> list[str]:
    """Return a sentence for each row that waits and is not this store's."""
    async with store.database.read() as db:
        strange = await list_strange(store, db)
    return [f"{row.id}: {describe(row)}. Nothing is done about it." for row in strange]


async def list_strange(store: Store, db: Connection) -> list[Waiting]:
    """Return each row that waits, for whatever node, and has no seal of ours."""
    return [row async for page in _pages(db) for row in page if not seals.is_own(store.keys.bearer, row)]


async def _pages(db: Connection) -> AsyncIterator[Sequence[Waiting]]:
    yield await storage.list_open_uploads(db)
    yield await storage.list_sealing(db, limit=None)
    after = ""
    while events := await news.list_waiting(db, after=after, limit=_PAGE):
        yield events
        after = events[-1].id
    last = ("", "")
    while deliveries := await webhooks.list_waiting(db, after=last, limit=_PAGE):
        yield deliveries
        last = (deliveries[-1].id, deliveries[-1].hook)


async def _set_seal(db: Connection, row: Waiting, *, before: str) -> bool:
    """Keep a row's seal; False when another process of this node, that began too, sealed it and perhaps moved it on."""
    if isinstance(row, Event):
        return await news.set_seal(db, row, before=before)
    if isinstance(row, Delivery):
        return await webhooks.set_seal(db, row, before=before)
    return await storage.set_seal(db, row, before=before)
