"""`evidence-store rotate`: a new sealing key, and every object's key wrapped to it, while the store runs.

The order makes it safe to die anywhere: the new opening key is durable before anything is sealed to it; the old one
stays until it is destroyed on purpose; each key file is replaced whole, and one that was replaced is seen to be. Passes
are made until one finds nothing left, since objects may have been sealed to the old key while a pass was under way.
"""

import asyncio
from dataclasses import replace
from enum import Enum

from evidence_store import ledger, storage
from evidence_store.backend import KEY, Busy
from evidence_store.custody.service import acting
from evidence_store.errors import CannotStart
from evidence_store.log import get_logger
from evidence_store.model import Action, ObjectState, Run, RunKind, StoredObject, is_file_name
from evidence_store.objects.service import is_still_there
from evidence_store.plural import counted, pick
from evidence_store.sealing import signing
from evidence_store.sealing.floe import Forged
from evidence_store.sealing.wrapping import sealing_key_of
from evidence_store.store import Store
from evidence_store.verify_ledger import Progress

log = get_logger(__name__)
_BATCH = 100
_MOST_PASSES = 20
_PAUSE_SECONDS = 0.5
_ACTOR = "system:rotate"


class _Came(Enum):
    DONE = "wrapped to the new key"
    BEFORE = "wrapped to it before"
    LATER = "not in its place yet, or being written"
    FAULT = "its key file does not open"


async def rotate(store: Store, *, progress: Progress) -> Run:
    """Begin a rotation, or go on with the one that was interrupted, and return it finished.

    Raises CannotStart on a node without the opening key, or while objects stay unreachable.
    """
    if store.keys.opening is None:
        raise CannotStart("This node holds no opening key: rotate on one that does, then copy sealing.pub here.")
    async with store.database.read() as db:
        run = await storage.find_newest_run(db, RunKind.ROTATE, finished=False)
    if run is None:
        run = await _begin(store)
    await store.run(store.keys.ring.seal_to, run.details["new"])
    for _ in range(_MOST_PASSES):
        run, left, broken = await _pass(store, run, progress)
        if not left:
            return await _finish(store, run, broken)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise CannotStart(
        "Some objects are still on their way in. Run 'evidence-store rotate' again: it goes on from here."
    )


async def _begin(store: Store) -> Run:
    old = store.keys.sealing.id
    new = await store.run(store.keys.ring.add_opening_key)
    fresh = Run(id=signing.new_id(), kind=RunKind.ROTATE, started_at=store.clock(), details={"old": old, "new": new})
    async with acting(store) as db:
        run = await storage.take_up_run(db, fresh)
        if run is fresh:
            await store.record(db, actor=_ACTOR, action=Action.KEY_ROTATION_STARTED, object_id="", old=old, new=new)
    if run is not fresh:  # another began at the same moment: nothing was ever sealed to this one
        await store.run(store.keys.ring.destroy_opening_key, new)
    return run


async def _pass(store: Store, run: Run, progress: Progress) -> tuple[Run, int, list[StoredObject]]:
    """Go through all objects once; return how many were not as they should be before, and those that do not open."""
    left, seen, after = 0, 0, ""
    broken: list[StoredObject] = []
    async with store.database.read() as db:
        total = await storage.count_objects(db)
    while True:
        async with store.database.read() as db:
            page = await storage.list_objects_by_id(db, after=after, limit=_BATCH)
        if not page:
            return run, left, broken
        came = [(stored, await store.run(_rewrap, store, stored)) for stored in page]
        done = sum(how is _Came.DONE for _, how in came)
        left += done + sum(how is _Came.LATER for _, how in came)
        for stored, how in came:
            if how is _Came.FAULT and await is_still_there(store, stored):
                broken.append(stored)
        after, seen = page[-1].id, seen + len(page)
        if done:
            run = replace(run, objects=run.objects + done)
            async with store.database.begin() as db:
                await storage.update_run(db, run)
        progress("wrapped keys", min(seen, total), total)


def _rewrap(store: Store, stored: StoredObject) -> _Came:
    """Wrap one object's key to the key of now; its lock is held, so that disposal cannot come in between."""
    if stored.state is ObjectState.SEALING:
        return _Came.LATER
    if stored.state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
        return _Came.BEFORE
    try:
        lock = store.backend.lock(stored.id)
    except Busy:
        return _Came.LATER
    try:
        wrapped, sealing = store.backend.read_key(stored.id), store.keys.sealing
        if sealing_key_of(wrapped) == sealing.id:
            return _Came.BEFORE
        key = store.keys.ring.unwrap(stored.id, "sealed", wrapped)
        again = sealing.wrap(stored.id, "sealed", key)
        if store.keys.ring.unwrap(stored.id, "sealed", again) != key:
            raise Forged("the new wrapping does not open")
        store.backend.replace_key(stored.id, again)
        return _Came.DONE
    except FileExistsError:  # in a bucket, at the same moment, from another node
        return _Came.LATER
    except (OSError, Forged) as problem:
        log.error("key_not_rotated", object=stored.id, problem=type(problem).__name__)
        return _Came.FAULT
    finally:
        lock.finish()


async def _finish(store: Store, run: Run, broken: list[StoredObject]) -> Run:
    now = store.clock()
    run = replace(run, finished_at=now, faults=len(broken))
    damaged = [
        ledger.Draft(now, _ACTOR, Action.DAMAGED, stored.id, stored.sha256, details={"what": "its key does not open"})
        for stored in broken
    ]
    said = {**run.details, "objects": run.objects, "faults": run.faults}
    async with acting(store) as db:
        if await storage.update_run(db, run):  # else another rotation went on with the same run, and said so
            await ledger.append(
                db, store.keys.ledger, [*damaged, ledger.Draft(now, _ACTOR, Action.KEY_ROTATED, details=said)]
            )
    return run


async def forget_old_keys(store: Store) -> list[str]:
    """Destroy opening keys that no object's key is wrapped to, and return their ids.

    Raises CannotStart while a rotation is not finished, or when an object still needs an old key, or may: one that
    lies there, and that the database does not know (any more).
    """
    ring, used = store.keys.ring, {store.keys.sealing.id}
    async with store.database.read() as db:
        if await storage.find_newest_run(db, RunKind.ROTATE, finished=False) is not None:
            raise CannotStart("A rotation was interrupted: run 'evidence-store rotate' first.")
    after = ""
    strange = {name for name in await store.run(lambda: list(store.backend.list_objects())) if is_file_name(name)}
    while True:
        async with store.database.read() as db:
            page = await storage.list_objects_by_id(db, after=after, limit=_BATCH)
        if not page:
            break
        strange -= {stored.id for stored in page}
        used |= {key_id for stored in page for key_id in await store.run(_keys_of, store, stored)}
        after = page[-1].id
    if strange:
        raise CannotStart(
            f"In the store {pick(len(strange), 'lies', 'lie')} {counted(len(strange), 'object')} that the database "
            "does not know, and that may need an old key: run 'evidence-store verify' first."
        )
    old = [key_id for key_id in ring.opening_ids if key_id != store.keys.sealing.id]
    needed = sorted(used & set(old))
    if needed:
        raise CannotStart(f"Objects still need {', '.join(needed)}: run 'evidence-store rotate' first.")
    for key_id in old:
        async with store.database.begin() as db:  # said first: a line too many is better than a key gone without one
            await store.record(db, actor=_ACTOR, action=Action.KEY_DESTROYED, object_id="", key=key_id)
        await store.run(ring.destroy_opening_key, key_id)
    return old


def _keys_of(store: Store, stored: StoredObject) -> list[str]:
    """Return which key an object is wrapped to; none when it says so nowhere that can be read (verify tells)."""
    try:
        place = store.backend.incoming(stored.staging) / "object" / KEY if stored.state is ObjectState.SEALING else None
        wrapped = place.read_bytes() if place and place.exists() else store.backend.read_key(stored.id)
        return [sealing_key_of(wrapped)]
    except (OSError, Forged):
        return []
