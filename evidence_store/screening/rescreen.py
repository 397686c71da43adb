"""`evidence-store rescreen`: give to clamd what it never saw, or saw with older signatures than it has now.

Every verdict is kept with clamd's version, so that what is left to do is a question to the database: a run that was
interrupted goes on by asking it again, and two at once share the work as the store's own screeners do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from evidence_store import clock, storage
from evidence_store.custody.service import acting
from evidence_store.errors import CannotStart, DamagedHere
from evidence_store.log import get_logger
from evidence_store.model import Action, ObjectState, Run, RunKind, StoredObject
from evidence_store.screening import storage as screenings
from evidence_store.screening.clamd import Clamd, Down, Verdict
from evidence_store.screening.model import is_older
from evidence_store.screening.service import ACTOR, FREED, ask, lease_of, settle
from evidence_store.sealing import signing
from evidence_store.store import Store
from evidence_store.verify_ledger import Progress

log = get_logger(__name__)
_BATCH = 20
OUTCOMES = (*(verdict.value for verdict in Verdict), "quarantined", "released")
"""What a run counts: each verdict, and what was moved by one."""


@dataclass(frozen=True)
class Bounds:
    """How fast a run goes and when it stops; `pace` is told of every piece's bytes and may sleep."""

    pace: Callable[[int], None] | None = None
    bytes_per_second: float = float("inf")
    seconds: float = float("inf")


@dataclass
class Found:
    """What a run came to since it was last begun. `left` is how many objects are still to do."""

    run: Run
    left: int = 0
    infected: list[str] = field(default_factory=list)
    """Ids of objects that came into quarantine."""


async def rescreen(store: Store, *, bounds: Bounds, progress: Progress) -> Found:
    """Screen what is due, one object after another, until all is done or the time is up.

    Raises CannotStart without a clamd that can be believed, on a node without the opening key, and when clamd stops
    answering on the way.
    """
    engine = await _present(store)
    run, until = await _begin(store, engine), clock.monotonic() + bounds.seconds
    async with store.database.read() as db:
        total = await screenings.count_by_others(db, engine)
    found, done, after = Found(run, left=total), 0, ""
    while True:
        async with store.database.read() as db:
            page = await screenings.list_by_others(db, engine, after=after, limit=_BATCH)
        for stored, screening in page:
            if clock.monotonic() >= until:
                return found
            if screening is None or is_older(screening.engine, engine):
                found.run = await _screen(store, stored, screening, bounds, found)
            done, after = done + 1, stored.id
            found.left = max(0, total - done)
            progress("objects", min(done, total), total)
        if not page:
            return replace(found, run=await _finish(store, found.run), left=0)


async def _present(store: Store) -> str:
    """Return clamd's version, once it can be believed."""
    if not store.settings.clamd:
        raise CannotStart("No clamd is named: set EVIDENCE_CLAMD, which also has all that comes from then on screened.")
    if store.keys.opening is None:
        raise CannotStart(
            "This node holds no opening key, so it cannot read what is sealed: run this on one that does."
        )
    clamd = Clamd(store.settings.clamd)
    try:
        version, missing = await store.run(lambda: (clamd.version(), clamd.lets_pass()))
    except Down as problem:
        raise CannotStart(f"clamd does not answer ({problem}): see EVIDENCE_CLAMD, and that clamd runs.") from None
    if missing:
        raise CannotStart(f"clamd lets pass what it cannot see: set '{missing} yes' in clamd.conf.")
    return version


async def _begin(store: Store, engine: str) -> Run:
    """Return the run that was interrupted, or a new one."""
    counts = dict.fromkeys(OUTCOMES, 0) | {"engine": engine}
    fresh = Run(id=signing.new_id(), kind=RunKind.RESCREEN, started_at=store.clock(), details=counts)
    async with acting(store) as db:
        run = await storage.take_up_run(db, fresh)
    return replace(run, details=run.details | {"engine": engine})


async def _screen(
    store: Store, stored: StoredObject, screening: screenings.Screening | None, bounds: Bounds, found: Found
) -> Run:
    """Screen one object, unless another process has it; return the run with what came of it, which is durable."""
    now, run = store.clock(), found.run
    async with store.database.begin() as db:
        mine = screening or await screenings.begin(db, stored.id, now=now)
        lease = now + lease_of(stored, rate=bounds.bytes_per_second)
        if mine is None or not await screenings.claim(db, mine, next_at=lease):
            return run
    try:
        seen = await ask(store, stored, pace=bounds.pace)
    except DamagedHere:  # said in the ledger
        return await _note(store, replace(run, objects=run.objects + 1, faults=run.faults + 1))
    if seen.comes_again and not seen.engine:
        raise CannotStart(f"{seen.reason}. Run 'evidence-store rescreen' again: it goes on from here.")
    outcome = await settle(store, stored, mine, seen)
    counts = dict(run.details)
    counts[seen.verdict.value] += 1
    if seen.verdict is Verdict.INFECTED and outcome == ObjectState.QUARANTINED.value:
        counts["quarantined"] += 1
        found.infected.append(stored.id)
        log.warning("object_infected", object=stored.id)
    counts["released"] += outcome == FREED
    run = replace(run, objects=run.objects + 1, bytes=run.bytes + stored.size_bytes, details=counts)
    return await _note(store, run)


async def _note(store: Store, run: Run) -> Run:
    async with store.database.begin() as db:
        await storage.update_run(db, run)
    return run


async def _finish(store: Store, run: Run) -> Run:
    run = replace(run, finished_at=store.clock())
    async with acting(store) as db:
        if await storage.update_run(db, run):  # else another rescreen went on with the same run, and said so
            await store.record(
                db, actor=ACTOR, action=Action.SCREENED, object_id="", objects=run.objects, bytes=run.bytes,
                faults=run.faults, started_at=run.started_at.isoformat(), **run.details,
            )  # fmt: skip
    return run
