"""Who looked at what, into the ledger, before it is shown.

One line per reader, object, action and purpose in ten minutes: a film watched in five hundred ranges is one
consultation. A search is one line, which says what was asked for and which objects came of it.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta

from evidence_store import ledger
from evidence_store.model import Action, StoredObject
from evidence_store.store import Store

_SAME_READ = timedelta(minutes=10)
_MAX_KEPT = 10_000


class ReadLog:
    """What this process has recorded lately."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[Hashable, datetime] = OrderedDict()

    async def record(
        self, stored: StoredObject, *, action: Action, actor: str, purpose: str, what: str = "",
        vouched: bool | None = True,
    ) -> None:  # fmt: skip
        """Record that one object, or `what` is kept of it, is looked at or given out; durable when this returns.

        vouched  False where the ledger does not say of it what its row says: nor does this line, then, name its digest
        """
        details = {"what": what} if what else {}
        digest = "" if vouched is False else stored.sha256
        draft = ledger.Draft(self._store.clock(), actor, action, stored.id, digest, purpose, details)
        await self._record((action, actor, stored.id, purpose, what), draft)

    async def record_search(
        self, conditions: Mapping[str, str], found: Sequence[StoredObject], *, actor: str, purpose: str
    ) -> None:
        """Record a search and the objects it showed; durable when this returns."""
        objects = [stored.id for stored in found]
        details = {"search": dict(conditions), "objects": objects}
        draft = ledger.Draft(self._store.clock(), actor, Action.VIEWED, purpose=purpose, details=details)
        await self._record((actor, tuple(conditions.items()), tuple(objects), purpose), draft)

    async def record_refusal(self, object_id: str, digest: str, *, actor: str, why: str, asked: str) -> None:
        """Record that somebody was refused something about an object; durable when this returns."""
        details = {"why": why, "asked": asked}
        draft = ledger.Draft(self._store.clock(), actor, Action.REFUSED, object_id, digest, details=details)
        await self._record((Action.REFUSED, actor, object_id, why, asked), draft)

    async def _record(self, key: Hashable, draft: ledger.Draft) -> None:
        last = self._recent.get(key)
        if last is not None and timedelta(0) <= draft.at - last < _SAME_READ:  # a clock put back hides nothing
            return
        async with self._store.database.begin() as db:
            await ledger.append(db, self._store.keys.ledger, [draft])
        self._recent[key] = draft.at
        self._recent.move_to_end(key)
        while len(self._recent) > _MAX_KEPT:
            self._recent.popitem(last=False)
