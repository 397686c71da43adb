"""Keeping the ledger's checkpoint now and then, and sending it to every mirror, tried until it is there.

Nothing waits for a mirror. Before one is sent anything, what it holds is held against our ledger: a mirror that knows
more lines than we have, or other ones, is told to the operator and sent nothing, since what it holds is then evidence.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from evidence_store import ledger
from evidence_store.errors import Damaged
from evidence_store.ledger import HeadForged
from evidence_store.log import get_logger
from evidence_store.mirrors import storage
from evidence_store.mirrors.model import MirrorState
from evidence_store.mirrors.places import Mirror, MirrorFailed, open_mirror
from evidence_store.notify.service import pause_after
from evidence_store.plural import counted
from evidence_store.sealing.signing import NotGenuine
from evidence_store.store import Store
from evidence_store.verify_ledger import Witness

log = get_logger(__name__)
_CLAIM_LASTS = timedelta(seconds=60)
_LONGEST_WAIT = timedelta(minutes=5)
_END_SECONDS = 2.0


class Checkpointer:
    """Run as one task in each process; several processes share the mirrors by claiming."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mirrors = {place: open_mirror(place) for place in store.settings.mirror_places}
        self._asked: dict[str, int] = {}
        """By place, how many lines the ledger had when this process last asked the mirror there."""

    async def run(self) -> None:
        """Keep and send until cancelled, then once more, for a moment: a planned end should leave nothing unsent."""
        try:
            while True:
                await asyncio.sleep(self._store.settings.checkpoint_seconds)
                await self.work()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self.work()

    async def work(self) -> None:
        """Keep the checkpoint as it is now, and send it where it is not yet."""
        try:
            async with self._store.database.begin() as db:
                size = await ledger.keep_checkpoint(db, self._store.keys.ledger)
            await asyncio.gather(*(self._serve(place, mirror, size) for place, mirror in self._mirrors.items()))
        except HeadForged as problem:
            log.error("checkpoint_not_kept", problem=str(problem))
        except Exception:
            log.exception("checkpoint_not_kept")

    async def _serve(self, place: str, mirror: Mirror, size: int) -> None:
        now, database = self._store.clock(), self._store.database
        async with database.read() as db:
            known = (await storage.list_mirrors(db)).get(name_of(mirror))
        if known is not None and not self._is_due(place, known, size, now):
            return
        async with database.begin() as db:
            if not await storage.claim_mirror(db, name_of(mirror), known, next_at=now + _CLAIM_LASTS):
                return
        sent, problem = 0, None
        try:
            sent = await self._send(mirror)
        except MirrorFailed as failed:
            problem = str(failed)
        now = self._store.clock()
        attempts = known.attempts + 1 if known else 1
        async with database.begin() as db:
            if problem is None:
                await storage.set_mirror_sent(db, name_of(mirror), size=sent, now=now)
            else:
                await storage.set_mirror_problem(
                    db, name_of(mirror), problem=problem, next_at=now + pause_after(attempts)
                )
        self._asked[place] = size
        if problem is not None:
            log.error("checkpoint_not_mirrored", mirror=self._number(place), problem=problem)

    def _is_due(self, place: str, known: MirrorState, size: int, now: datetime) -> bool:
        """Say whether a mirror is to be asked now.

        The row is not believed: it may have been put back with the ledger, or say that it is never time. So each
        process asks once for itself, and again when lines are missing.
        """
        if now < known.next_at <= now + _LONGEST_WAIT:
            return False
        return known.size != size or bool(known.problem) or self._asked.get(place, size + 1) > size

    async def _send(self, mirror: Mirror) -> int:
        """Send the newest checkpoint; return its size. Raises MirrorFailed, saying what stands against it."""
        async with self._store.database.read() as db:
            head = await ledger.read_head(db)
        note = await mirror.newest()
        if note is not None:
            await self._hold_against(note, head)
        await mirror.put(head.size, head.note)
        return head.size

    async def _hold_against(self, note: str, head: ledger.Head) -> None:
        try:
            theirs = self._store.keys.ledger.public.open(note)
        except NotGenuine:
            raise MirrorFailed("it holds a checkpoint that this ledger's key did not sign") from None
        if theirs.size > head.size:
            raise MirrorFailed(
                f"it knows of {counted(theirs.size, 'line')} and the ledger has {head.size:,}: was the store put back "
                "to a copy?"
            )
        try:
            async with self._store.database.read() as db:
                ours = await ledger.root_at(db, theirs.size)
        except Damaged as problem:
            raise MirrorFailed(f"nothing can be held against it ({problem}): run 'evidence-store verify'") from None
        if ours != theirs.root:
            raise MirrorFailed("it knows another ledger than this one: run 'evidence-store verify'")

    def _number(self, place: str) -> int:
        return list(self._mirrors).index(place) + 1


def name_of(mirror: Mirror) -> str:
    """Return the name under which a mirror's state is kept: no password stands in it."""
    return mirror.where[:400]


async def states_of(store: Store) -> dict[str, MirrorState | None]:
    """Return the state of each mirror in the settings, None for one that was never tried."""
    async with store.database.read() as db:
        known = await storage.list_mirrors(db)
    names = [name_of(open_mirror(place)) for place in store.settings.mirror_places]
    return {name: known.get(name) for name in names}


async def ask_mirrors(places: Sequence[str]) -> tuple[list[Witness], list[str]]:
    """Return the checkpoints that the mirrors hold, and a sentence for each mirror that could not be asked."""
    witnesses, faults = [], []
    for mirror in map(open_mirror, places):
        try:
            witnesses += [Witness(mirror.where, note) for note in await mirror.all()]
        except MirrorFailed as failed:
            faults.append(f"The checkpoints {mirror.where} were not compared: {failed}.")
    return witnesses, faults
