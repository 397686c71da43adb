"""What is done about screening. The phone heard "received" before it begins; the bytes are given out after it.

screening ─ clean ──▶ received                     infected, or nothing known ─▶ quarantined
quarantined, for want of a verdict ─ asked again ─ clean ──▶ received              (each its line in the ledger)
received ─ asked again (`rescreen`) ─ infected ─▶ quarantined
         ─ asked again, after people released it as malware ─ clean ──▶ a preview of it is made
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from evidence_store.custody.service import acting
from evidence_store.database import Connection
from evidence_store.errors import Damaged, DamagedHere
from evidence_store.log import get_logger
from evidence_store.media import storage as media_storage
from evidence_store.media.model import Problem
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.objects import service as objects
from evidence_store.quarantine.storage import was_released_with
from evidence_store.screening import storage
from evidence_store.screening.clamd import Clamd, Screened, Verdict
from evidence_store.screening.model import adds_nothing, next_try, place_after
from evidence_store.storage import find_object, move_object
from evidence_store.store import Store
from evidence_store.webhooks.service import announce

log = get_logger(__name__)
ACTOR = "system:screening"
UNCHANGED, FREED = "unchanged", "released from quarantine"
_LOOK_EVERY_SECONDS = 0.5
_AT_ONE_TIME = 2
_LEASE, _SLOWEST_BYTES_PER_SECOND = timedelta(minutes=7), 5_000_000
_GONE = {ObjectState.DISPOSING, ObjectState.DISPOSED}


class Screener:
    """Screens what one process takes its turn at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.verdicts: dict[str, int] = {}

    async def run(self) -> None:
        """Screen for as long as the store runs, where a clamd is named and this node can read."""
        if self._store.settings.clamd and self._store.keys.opening is not None:
            await asyncio.gather(*(self._go_on() for _ in range(_AT_ONE_TIME)))

    async def _go_on(self) -> None:
        while True:
            try:
                while await self.screen_next():
                    pass
            except Exception:
                log.exception("screening_failed")
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def screen_next(self) -> bool:
        """Screen one object whose turn it is; False when there is none for us."""
        store, now = self._store, self._store.clock()
        async with store.database.read() as db:
            due = await storage.list_due(db, now=now, limit=_AT_ONE_TIME)
        for stored, screening in due:
            async with store.database.begin() as db:
                if not await storage.claim(db, screening, next_at=now + lease_of(stored)):
                    continue
            try:
                found = await ask(store, stored)
            except DamagedHere:
                continue  # said in the ledger; it comes again, when the object may have been brought back
            await settle(store, stored, screening, found)
            self.verdicts[found.verdict.value] = self.verdicts.get(found.verdict.value, 0) + 1
            return True
        return False


def lease_of(stored: StoredObject, *, rate: float = _SLOWEST_BYTES_PER_SECOND) -> timedelta:
    """Return how long one look may take at most, at so many bytes a second, before another process may try."""
    return _LEASE + timedelta(seconds=stored.size_bytes / min(rate, _SLOWEST_BYTES_PER_SECOND))


async def ask(store: Store, stored: StoredObject, *, pace: Callable[[int], None] | None = None) -> Screened:
    """Give an object to clamd and return what it says. Raises DamagedHere.

    pace  told of every piece's bytes; may sleep
    """
    clamd = Clamd(store.settings.clamd)
    try:
        async with objects.opened(store, stored, actor=ACTOR) as sealed:
            pieces = sealed.pieces() if pace is None else _paced(sealed.pieces(), pace)
            asking = asyncio.get_running_loop().run_in_executor(None, clamd.screen, pieces)
            try:
                return await asyncio.shield(asking)
            finally:
                clamd.stop()  # on the way out of a stopping process, the thread ends as well
                await asyncio.wait({asking})  # the file must not be closed under it
    except Damaged as problem:
        await objects.record_damage(store, stored, actor=ACTOR, what=str(problem))
        raise DamagedHere from problem


def _paced(pieces: Iterable[bytes], pace: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        pace(len(piece))
        yield piece


async def settle(store: Store, stored: StoredObject, screening: storage.Screening, found: Screened) -> str:
    """Note a verdict, with a ledger line where it is news, and move the object where it belongs by it.

    Return the outcome as the ledger says it; `unchanged`, too, when another process took the object meanwhile. Where
    the object stands is read again: people may have released or disposed of it while clamd looked.
    """
    now = store.clock()
    async with acting(store) as db:
        current = await find_object(db, stored.id)
        if current is None or current.state in _GONE or adds_nothing(screening.verdict, found.verdict):
            return UNCHANGED
        after = await _place(db, current, screening, found)
        again = None if after is ObjectState.RECEIVED else next_try(found, screening.attempts, now=now)
        if not await storage.finish(db, screening, found, now=now, next_at=again):
            return UNCHANGED
        if found.verdict is Verdict.CLEAN:  # people may have released it for what is no malware any more
            await media_storage.open_again(db, stored.id, Problem.MALWARE, now=now)
        elif found.verdict is Verdict.INFECTED and after is ObjectState.RECEIVED:
            await media_storage.close(db, stored.id, Problem.MALWARE)
        moved = after is not current.state and await move_object(db, stored.id, before=[current.state], after=after)
        if not moved and found.verdict.value == screening.verdict and not _found_another(screening, found):
            return UNCHANGED
        outcome = UNCHANGED
        if moved:
            outcome = FREED if current.state is ObjectState.QUARANTINED else after.value
        sequence = await store.record(
            db, actor=ACTOR, action=Action.SCREENED, object_id=stored.id, digest=stored.sha256,
            verdict=found.verdict.value, reason=found.reason, engine=found.engine, outcome=outcome,
        )  # fmt: skip
        if moved and outcome != ObjectState.RECEIVED.value:  # that it was received was told before
            await store.tell(db, after.value, stored.id, stored.incident)
            await announce(
                store, db, after.value, sequence=sequence, object_id=stored.id, incident=stored.incident,
                digest=stored.sha256,
            )  # fmt: skip
    store.news.set()
    return outcome


async def _place(db: Connection, current: StoredObject, screening: storage.Screening, found: Screened) -> ObjectState:
    is_known = found.verdict is Verdict.INFECTED and await was_released_with(db, current.id, found.reason)
    return place_after(current.state, current.verdict, screening.verdict, found.verdict, is_known=is_known)


def _found_another(screening: storage.Screening, found: Screened) -> bool:
    return found.verdict is Verdict.INFECTED and found.reason != screening.reason
