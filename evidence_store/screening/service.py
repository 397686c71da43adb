"""What is done about screening. The phone heard "received" before it begins; the bytes are given out after it.

screening ─ clean ──▶ received                     infected, or nothing known ─▶ quarantined
quarantined, for want of a verdict ─ asked again ─ clean ──▶ received              (each its line in the ledger)
"""

import asyncio
from datetime import datetime, timedelta

from evidence_store import objects
from evidence_store.custody.service import acting
from evidence_store.errors import Damaged, DamagedHere
from evidence_store.keeping.storage import move_object
from evidence_store.log import get_logger
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.screening import storage
from evidence_store.screening.clamd import Clamd, Screened, Verdict
from evidence_store.store import Store
from evidence_store.webhooks.service import announce

log = get_logger(__name__)
ACTOR = "system:screening"
_LOOK_EVERY_SECONDS = 0.5
_AT_ONE_TIME = 2
_LEASE, _SLOWEST_BYTES_PER_SECOND = timedelta(minutes=7), 5_000_000
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)
_LIMITS_RETRY = timedelta(days=1)


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
                needed = _LEASE + timedelta(seconds=stored.size_bytes / _SLOWEST_BYTES_PER_SECOND)
                if not await storage.claim(db, screening, next_at=now + needed):
                    continue
            try:
                found = await self._ask(stored)
            except DamagedHere:
                continue  # said in the ledger; it comes again, when the object may have been brought back
            await self._settle(stored, screening, found)
            self.verdicts[found.verdict.value] = self.verdicts.get(found.verdict.value, 0) + 1
            return True
        return False

    async def _ask(self, stored: StoredObject) -> Screened:
        clamd = Clamd(self._store.settings.clamd)
        try:
            async with objects.opened(self._store, stored, actor=ACTOR) as sealed:
                asking = asyncio.get_running_loop().run_in_executor(None, clamd.screen, sealed.pieces())
                try:
                    return await asyncio.shield(asking)
                finally:
                    clamd.stop()  # on the way out of a stopping process, the thread ends as well
                    await asyncio.wait({asking})  # the file must not be closed under it
        except Damaged as problem:
            await objects.record_damage(self._store, stored, actor=ACTOR, what=str(problem))
            raise DamagedHere from problem

    async def _settle(self, stored: StoredObject, screening: storage.Screening, found: Screened) -> None:
        store, now = self._store, self._store.clock()
        after = ObjectState.RECEIVED if found.verdict is Verdict.CLEAN else ObjectState.QUARANTINED
        async with acting(store) as db:
            if not await storage.finish(db, screening, found, now=now, next_at=next_try(found, screening, now=now)):
                return
            moved = after is not stored.state and await move_object(db, stored.id, before=[stored.state], after=after)
            if not moved and found.verdict.value == screening.verdict:
                return  # nothing is known that was not known before
            outcome = "unchanged"
            if moved:
                outcome = after.value if stored.state is ObjectState.SCREENING else "released from quarantine"
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


def next_try(found: Screened, screening: storage.Screening, *, now: datetime) -> datetime | None:
    """Return when to ask again, None when the verdict stands.

    Beyond the limits stays so until somebody raises them; anything else that kept clamd from telling may pass soon.
    """
    if found.verdict is not Verdict.UNKNOWN:
        return None
    if not found.comes_again:
        return now + _LIMITS_RETRY
    later: timedelta = min(_FIRST_RETRY * 2 ** min(screening.attempts, 10), _LAST_RETRY)
    return now + later
