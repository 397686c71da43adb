"""Looking into objects: in the background once for its facts, and when somebody asks for a preview.

Previews are made anew when asked for and kept only in this process's memory, for ten minutes and within a bound: they
are no evidence, so there is nothing of them to seal, back up, rotate or destroy, and a disposed object leaves no
derived copy behind. What a file says of itself is kept, sealed as its key is: it may be somebody's home.
"""

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import timedelta

from evidence_store import clock
from evidence_store.errors import Damaged, DamagedHere, NoPreviewHere, Refusal, Unavailable
from evidence_store.log import get_logger
from evidence_store.media import process, storage
from evidence_store.media.model import PROBLEM_SAYS, NoPreview, Preview, Problem, Task, can_be_looked_at, can_be_played
from evidence_store.media.process import NotConfined, Outcome, examine
from evidence_store.media.schemas import Facts, MediaAnswer
from evidence_store.model import ObjectState, StoredObject
from evidence_store.objects import service as objects
from evidence_store.sealing.floe import Forged
from evidence_store.store import Store

log = get_logger(__name__)
Key = tuple[str, Task]

_ACTOR = "system:media"
_LOOK_EVERY_SECONDS = 1.0
_MOST_ATTEMPTS = 3
_LEASE = timedelta(seconds=process.LOOK_SECONDS + 15)
_MOST_WAITING = 32
_CACHE_BYTES = 64_000_000
_CACHE_SECONDS = 600.0
_SEALED_FOR = "facts"


@dataclass
class _Kept:
    preview: Preview
    used_at: float


class Media:
    """What one process does about it. At most `EVIDENCE_PREVIEW_WORKERS` files are open at one time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(max(1, store.settings.preview_workers))
        self._running: dict[Key, asyncio.Task[Preview]] = {}
        self._outcomes: dict[Key, Outcome] = {}
        self._refused: dict[Key, Refusal] = {}
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.why_off = "" if store.settings.preview_workers else "EVIDENCE_PREVIEW_WORKERS is 0"
        self.made: dict[str, int] = {}
        """How often each end was come to: `picture`, `playable`, or a problem's code."""

    # --- in the background

    async def run(self) -> None:
        """Look into what was received, one after another, for as long as the store runs."""
        if self.why_off or self._store.keys.opening is None:
            return
        self.why_off = await process.is_confined() or ""
        if self.why_off:
            log.error("previews_off", why=self.why_off)
            return
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            try:
                while await self.look_at_next():
                    pass
            except Exception:
                log.exception("look_failed")
            self._forget_old()

    async def look_at_next(self) -> bool:
        """Look into the object that waits longest; False when none waits."""
        now = self._store.clock()
        async with self._store.database.read() as db:
            due = await storage.list_due(db, now=now, limit=1)
        for stored, looked in due:
            async with self._store.database.begin() as db:
                if not await storage.claim(db, looked, next_at=now + _LEASE):
                    continue
                if looked.attempts >= _MOST_ATTEMPTS:  # whatever it is, it ended the process every time
                    await storage.finish(db, stored.id, facts="", problem=Problem.TRIED)
                    continue
            with contextlib.suppress(NoPreview, DamagedHere):
                await self._once((stored.id, Task.LOOK), stored)
        return bool(due)

    # --- when asked

    async def describe(self, stored: StoredObject) -> MediaAnswer:
        """Return what is known of an object by looking into it."""
        async with self._store.database.read() as db:
            looked = await storage.find(db, stored.id)
        is_there = stored.state in {ObjectState.SCREENING, ObjectState.RECEIVED} and looked is not None
        if looked is None or not is_there:
            return MediaAnswer(state="none", picture=False, playable=False, says="", facts=None, place_says="")
        facts = None
        try:
            facts = await self._open(looked)
        except (Forged, ValueError):  # sealed to a key that was destroyed since: they are read anew
            async with self._store.database.begin() as db:
                await storage.look_again(db, looked.object, now=self._store.clock())
            looked = replace(looked, state=storage.WAITING, problem="")
        done = looked.state == storage.DONE
        says = PROBLEM_SAYS[Problem(looked.problem)] if looked.problem else ""
        return MediaAnswer(
            state="done" if done else "waiting",
            picture=done and not looked.problem,
            playable=can_be_played(stored.media_type) and not looked.play_problem,
            says=says,
            facts=facts,
            place_says=MediaAnswer.place_words(facts),
        )

    async def picture(self, stored: StoredObject) -> Preview:
        """Return a picture of an object. Raises NoPreviewHere, Unavailable, DamagedHere."""
        return await self._preview(stored, Task.LOOK)

    async def playable(self, stored: StoredObject) -> Preview:
        """Return the first seconds of a film or sound. Raises NoPreviewHere, Unavailable, DamagedHere."""
        return await self._preview(stored, Task.PLAY)

    def is_ready(self, stored: StoredObject) -> bool:
        """Say whether something to play is there, so that nobody has to wait for it."""
        return (stored.id, Task.PLAY) in self._kept

    async def percent_playable(self, stored: StoredObject) -> int:
        """Have something to play made, without waiting for it; return how much is done, 100 once it can be played.

        Raises NoPreviewHere, Unavailable, DamagedHere
        """
        key = stored.id, Task.PLAY
        if key in self._refused:  # told once; whoever asks again has it tried again
            raise self._refused.pop(key)
        if await self._find(stored, Task.PLAY) is not None:
            return 100
        self._begin(key, stored)
        return self._outcomes[key].percent if key in self._outcomes else 0

    async def _preview(self, stored: StoredObject, task: Task) -> Preview:
        try:
            return await self._find(stored, task) or await self._once((stored.id, task), stored)
        except NoPreview as found:
            raise NoPreviewHere(PROBLEM_SAYS[found.problem]) from None

    async def _find(self, stored: StoredObject, task: Task) -> Preview | None:
        """Return a preview that was made before, None where it is to be made. Raises NoPreviewHere, Unavailable."""
        if self.why_off:
            raise Unavailable(f"No previews are made here: {self.why_off}.")
        async with self._store.database.read() as db:
            looked = await storage.find(db, stored.id)
        fits = can_be_looked_at(stored.media_type) if task is Task.LOOK else can_be_played(stored.media_type)
        if looked is None or not fits:
            raise NoPreviewHere(PROBLEM_SAYS[Problem.KIND])
        known = looked.problem if task is Task.LOOK else looked.play_problem
        if known:
            raise NoPreviewHere(PROBLEM_SAYS[Problem(known)])
        kept = self._kept.get((stored.id, task))
        if kept is None:
            return None
        kept.used_at = clock.monotonic()
        return kept.preview

    async def _once(self, key: Key, stored: StoredObject) -> Preview:
        """Make a preview; whoever else asks for the same meanwhile gets this one. Raises NoPreview, Unavailable."""
        return await asyncio.shield(self._begin(key, stored))

    def _begin(self, key: Key, stored: StoredObject) -> asyncio.Task[Preview]:
        """Return the work on a preview, begun by whoever asks first. Raises Unavailable."""
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= _MOST_WAITING:
                raise Unavailable("Many previews are being made at this moment. Try again in a minute.")
            running = self._running[key] = asyncio.create_task(self._make(key, stored))
            running.add_done_callback(lambda done: self._ended(key, done))
        return running

    def _ended(self, key: Key, done: asyncio.Task[Preview]) -> None:
        self._running.pop(key, None)
        self._outcomes.pop(key, None)
        problem = None if done.cancelled() else done.exception()
        if isinstance(problem, NoPreview):  # written down, but for what says nothing of the file
            problem = NoPreviewHere(PROBLEM_SAYS[problem.problem]) if problem.problem is Problem.SLOW else None
        if problem is None:
            return
        if not isinstance(problem, Refusal):
            log.error("preview_failed", object=key[0], problem=type(problem).__name__)
        if key[1] is Task.PLAY:
            self._refused[key] = problem if isinstance(problem, Refusal) else Unavailable()

    async def _make(self, key: Key, stored: StoredObject) -> Preview:
        async with self._slots:
            outcome = self._outcomes[key] = Outcome()
            await self._examine(stored, key[1], outcome)
        await self._write_down(key, outcome)
        name = "picture" if key[1] is Task.LOOK else "playable"
        ended = name if outcome.preview else (outcome.problem or Problem.KIND).value
        self.made[ended] = self.made.get(ended, 0) + 1
        preview = process.raise_for(outcome)
        self._keep(key, preview)
        return preview

    async def _examine(self, stored: StoredObject, task: Task, outcome: Outcome) -> None:
        store = self._store
        try:
            async with objects.opened(store, stored, actor=_ACTOR) as sealed:

                async def read(start: int, stop: int) -> bytes:
                    parts = []
                    while start < stop:
                        parts.append(await store.run(sealed.read, start, stop))
                        start += len(parts[-1])
                    return b"".join(parts)

                await examine(task, stored.media_type, stored.size_bytes, read, outcome)
        except Damaged as problem:
            await objects.record_damage(store, stored, actor=_ACTOR, what=str(problem))
            outcome.problem = Problem.BROKEN
        except DamagedHere:
            outcome.problem = Problem.BROKEN
        except NotConfined as problem:
            raise Unavailable(f"No previews are made here: {problem}.") from None

    async def _write_down(self, key: Key, outcome: Outcome) -> None:
        object_id, task = key
        none = "" if outcome.preview else (outcome.problem or Problem.KIND).value
        if none == Problem.SLOW:  # the machine had no time: it is tried again, in the background a few times
            return
        if task is Task.LOOK:
            facts = await self._store.run(self._seal, object_id, outcome.facts) if outcome.facts else ""
            async with self._store.database.begin() as db:
                await storage.finish(db, object_id, facts=facts, problem=none)
        elif none:
            async with self._store.database.begin() as db:
                await storage.set_play_problem(db, object_id, none)

    # --- facts, sealed

    def _seal(self, object_id: str, facts: Facts) -> str:
        written = facts.model_dump_json(exclude_none=True).encode()
        return self._store.keys.sealing.wrap(object_id, _SEALED_FOR, written).decode()

    async def _open(self, looked: storage.Looked) -> Facts | None:
        opening = self._store.keys.opening
        if not looked.facts or opening is None:
            return None
        written = await self._store.run(opening.unwrap, looked.object, _SEALED_FOR, looked.facts.encode())
        return Facts.model_validate_json(written)

    # --- previews, in memory

    def _keep(self, key: Key, preview: Preview) -> None:
        self._kept[key] = _Kept(preview, clock.monotonic())
        while sum(len(kept.preview.data) for kept in self._kept.values()) > _CACHE_BYTES:
            self._kept.popitem(last=False)

    def _forget_old(self) -> None:
        since = clock.monotonic() - _CACHE_SECONDS
        for key in [key for key, kept in self._kept.items() if kept.used_at < since]:
            del self._kept[key]
