"""Who read what, into the ledger.

One line per reader, object and purpose in ten minutes: a film watched in five hundred ranges is one consultation.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from evidence_store.model import Action, StoredObject
from evidence_store.store import Store

_SAME_READ = timedelta(minutes=10)
_MAX_KEPT = 10_000


class ReadLog:
    """What this process has recorded lately."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()

    async def record(self, stored: StoredObject, *, actor: str, purpose: str) -> None:
        """Record that content is given out; durable before the first byte is."""
        now, key = self._store.clock(), (actor, stored.id, purpose)
        last = self._recent.get(key)
        if last is not None and now - last < _SAME_READ:
            return
        async with self._store.database.begin() as db:
            await self._store.record(
                db, actor=actor, action=Action.DOWNLOADED, object_id=stored.id, digest=stored.sha256, purpose=purpose
            )
        self._recent[key] = now
        self._recent.move_to_end(key)
        while len(self._recent) > _MAX_KEPT:
            self._recent.popitem(last=False)
