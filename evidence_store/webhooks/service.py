"""Queue news in the transaction of what happened; deliver it from the table until it is taken, or too old.

Several processes share the work: a row is claimed by one conditional UPDATE, and a claim ends by itself when its holder
dies. Of one object only the first delivery that is not taken is tried, so that a destination hears of it in the order
of the ledger; other objects do not wait for it. At least once: a destination that answers too late hears it again,
with the same id.
"""

import asyncio
from datetime import timedelta
from typing import Any

from evidence_store import ledger, seals
from evidence_store.database import Connection
from evidence_store.log import get_logger
from evidence_store.sealing import signing
from evidence_store.store import Store, wait_for_news
from evidence_store.waiting import refuse
from evidence_store.webhooks import storage
from evidence_store.webhooks.model import Delivery, Hook, pause_after, said_of, subject_of
from evidence_store.webhooks.sending import TRY_SECONDS, NotTaken, Resolve, look_up, send

log = get_logger(__name__)
_LOOK_SECONDS = 1.0
_AT_ONCE = 4
_KEPT = timedelta(days=30)
_FORGET_EVERY_SECONDS = 3600.0


async def announce(
    store: Store, db: Connection, kind: str, *, sequence: int, object_id: str, incident: str, **details: Any
) -> None:
    """Queue news for every destination that hears of this kind, in the caller's transaction.

    sequence  the ledger's line about it
    details   what else is said; no personal data
    """
    hooks = [hook.name for hook in store.hooks if kind in hook.events]
    if not hooks:
        return
    now, news_id = store.clock(), signing.new_id()
    said = said_of(news_id, kind, at=now, sequence=sequence, object=object_id, incident=incident, **details)
    body, subject = ledger.canonical_json(said), subject_of(object_id, incident)
    made = [Delivery(news_id, hook, subject, sequence, body, attempts=0, made_at=now, next_at=now) for hook in hooks]
    await storage.insert_deliveries(db, [seals.sealed(store.keys.bearer, delivery) for delivery in made])


class Postman:
    """Delivers what waits; run as one task in each process."""

    def __init__(self, store: Store, *, resolve: Resolve = look_up) -> None:
        self._store, self._resolve = store, resolve

    async def run(self) -> None:
        """Deliver until cancelled; each destination by itself, so that none waits for another."""
        async with asyncio.TaskGroup() as tasks:
            for hook in self._store.hooks:
                tasks.create_task(self._serve(hook))
            if self._store.hooks:
                tasks.create_task(self._forget())

    async def _serve(self, hook: Hook) -> None:
        failures = 0
        while True:
            coming = self._store.news.coming()
            try:
                taken, failed = await self.deliver_due(hook)
            except Exception:
                log.exception("webhooks_not_sent", webhook=hook.name)
                taken, failed = 0, 1
            failures = failures + 1 if failed and not taken else 0
            if failures:  # it is down: whatever waits would only meet the same
                await asyncio.sleep(min(pause_after(failures).total_seconds(), 60))
            elif not taken:
                await wait_for_news(coming, _LOOK_SECONDS)

    async def deliver_due(self, hook: Hook) -> tuple[int, int]:
        """Try what is due at one destination, a few at once; return how many were taken and how many were not."""
        async with self._store.database.read() as db:
            due = await storage.list_due(db, hook.name, now=self._store.clock(), limit=_AT_ONCE)
        outcomes = await asyncio.gather(*(self._deliver(hook, delivery) for delivery in due))
        return outcomes.count(True), outcomes.count(False)

    async def _deliver(self, hook: Hook, delivery: Delivery) -> bool | None:
        """Try once; None when another process has it, or it is not the store's."""
        store = self._store
        if not seals.is_own(store.keys.bearer, delivery):
            await self._give_up(delivery)
            return None
        async with store.database.begin() as db:
            lease = store.clock() + timedelta(seconds=2 * TRY_SECONDS)
            if not await storage.claim(db, delivery, next_at=lease):
                return None
        try:
            timestamp = int(store.clock().timestamp())
            await send(hook, delivery.id, delivery.body, timestamp=timestamp, resolve=self._resolve)
        except NotTaken as problem:
            await self._put_off(delivery, str(problem))
            return False
        async with store.database.begin() as db:
            await storage.set_delivered(db, delivery, now=store.clock())
        return True

    async def _give_up(self, delivery: Delivery) -> None:
        """Sign and send nothing that the store did not write: it is given up, which operators are shown."""
        await refuse(self._store, delivery)
        now = self._store.clock()
        async with self._store.database.begin() as db:
            await storage.set_failed(db, delivery, problem="this store did not write it", next_at=now, dead_at=now)

    async def _put_off(self, delivery: Delivery, problem: str) -> None:
        now, tries = self._store.clock(), delivery.attempts + 1
        is_dead = now - delivery.made_at >= timedelta(days=self._store.settings.webhook_days)
        log.warning(
            "webhook_given_up" if is_dead else "webhook_not_taken", webhook=delivery.hook, news=delivery.id,
            problem=problem, tries=tries,
        )  # fmt: skip
        async with self._store.database.begin() as db:
            await storage.set_failed(
                db, delivery, problem=problem, next_at=now + pause_after(tries), dead_at=now if is_dead else None
            )

    async def _forget(self) -> None:
        while True:
            try:
                async with self._store.database.begin() as db:
                    await storage.forget_delivered(db, before=self._store.clock() - _KEPT)
            except Exception:
                log.exception("webhooks_not_forgotten")
            await asyncio.sleep(_FORGET_EVERY_SECONDS)
