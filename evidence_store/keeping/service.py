"""One function for each thing a person does about keeping; each is one transaction with its line in the ledger.

Disposal takes two transactions and what lies between: the approval moves the object to DISPOSING; then key and bytes
are destroyed; then the object is DISPOSED, with its line in the ledger. Whatever dies in between is done again by the
next sweep, of whichever process.

What is signed about a disposal is what the row says, so neither step is taken where the ledger does not vouch for it.
"""

from collections.abc import Sequence
from dataclasses import replace

from evidence_store import ledger, vouching
from evidence_store.backend import Busy
from evidence_store.custody.service import Act, acting
from evidence_store.custody.storage import find_label
from evidence_store.database import Connection
from evidence_store.errors import (
    BadRequest,
    Conflict,
    Damaged,
    Disposed,
    Held,
    KeyReused,
    NotFound,
    Refusal,
    ReviewClosed,
    ReviewOpen,
    StoreError,
)
from evidence_store.keeping import storage
from evidence_store.keeping.disposal import check_may_dispose, check_second_person
from evidence_store.keeping.model import Assigned, Hold, RetentionClass, Review, ReviewState
from evidence_store.keeping.retention import keep_until
from evidence_store.log import get_logger
from evidence_store.media import storage as media_storage
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.storage import find_object, move_object
from evidence_store.store import Store
from evidence_store.tokens import Token
from evidence_store.webhooks.service import announce

log = get_logger(__name__)
_ACTOR = "system:store"
_KEPT = (ObjectState.SCREENING, ObjectState.RECEIVED, ObjectState.QUARANTINED)


# --- holds


async def place_hold(store: Store, act: Act, *, incident: str, stored: StoredObject | None, reason: str) -> Hold:
    """Forbid the disposal of one object, or of all of an incident. Raises KeyReused, Disposed."""
    hold = Hold(act.id, incident, stored.id if stored else "", reason, act.actor, store.clock())
    async with acting(store) as db:
        known = await storage.find_hold(db, hold.id)
        if known is not None:
            if (known.incident, known.object, known.reason) != (hold.incident, hold.object, hold.reason):
                raise KeyReused
            return known
        if not await storage.insert_hold(db, hold):
            raise Disposed
        sequence = await store.record(
            db, actor=act.actor, action=Action.HELD, object_id=hold.object, digest=stored.sha256 if stored else "",
            purpose=reason, hold=hold.id, incident=incident,
        )  # fmt: skip
        await announce(
            store, db, Action.HELD, sequence=sequence, object_id=hold.object, incident=incident, hold=hold.id
        )
    store.news.set()
    return hold


async def release_hold(store: Store, hold_id: str, token: Token, *, reason: str) -> Hold:
    """Take a hold away; again by the same person for the same reason changes nothing. Raises NotFound, Conflict."""
    async with acting(store) as db:
        hold = await storage.find_hold(db, hold_id)
        if hold is None or not token.sees(hold.incident):
            raise NotFound
        if hold.released_at is not None:
            if (hold.released_by, hold.release_reason) != (token.actor, reason):
                raise Conflict("The hold was released before.")
            return hold
        hold = replace(hold, released_by=token.actor, released_at=store.clock(), release_reason=reason)
        await storage.release_hold(db, hold)
        stored = await find_object(db, hold.object) if hold.object else None
        sequence = await store.record(
            db, actor=token.actor, action=Action.RELEASED, object_id=hold.object,
            digest=stored.sha256 if stored else "", purpose=reason, hold=hold.id, incident=hold.incident,
        )  # fmt: skip
        await announce(
            store, db, Action.RELEASED, sequence=sequence, object_id=hold.object, incident=hold.incident, hold=hold.id
        )
    store.news.set()
    return hold


# --- retention


async def set_class(store: Store, row: RetentionClass, *, actor: str) -> None:
    """Add or change a row of the force's retention table; it counts at once for every object that has it."""
    async with acting(store) as db:
        if row in await storage.list_classes(db):
            return
        await storage.put_class(db, row)
        await store.record(
            db, actor=actor, action=Action.RETENTION_CHANGED, object_id="", code=row.code, years=row.years,
            source=row.source,
        )  # fmt: skip


async def set_retention(
    store: Store, stored: StoredObject, assigned: Sequence[Assigned], *, actor: str, reason: str
) -> list[Assigned]:
    """Say by which classes an object is kept, and from when each counts. Raises BadRequest for an unknown class.

    A bucket that can lock objects is told first: a lock too many is better than a line that promises one.
    """
    async with store.database.read() as db:
        await _check_there(db, stored)
        until = keep_until(await _with_years(db, assigned))
    if until is not None and until > store.clock():
        await store.run(store.backend.retain, stored.id, until)
    async with acting(store) as db:
        await _check_there(db, stored)
        wanted = sorted(await _with_years(db, assigned), key=lambda one: one.code)
        if wanted == await storage.list_assigned(db, stored.id):
            return wanted
        await storage.set_assigned(db, stored.id, wanted)
        until = keep_until(wanted)
        await store.record(
            db, actor=actor, action=Action.RETENTION_CHANGED, object_id=stored.id, digest=stored.sha256,
            purpose=reason, classes=[[one.code, one.starts_at.isoformat()] for one in wanted],
            keep_until=until.isoformat() if until else None,
        )  # fmt: skip
    return wanted


async def _with_years(db: Connection, assigned: Sequence[Assigned]) -> list[Assigned]:
    years = {row.code: row.years for row in await storage.list_classes(db)}
    unknown = sorted({one.code for one in assigned} - years.keys())
    if unknown:
        raise BadRequest(f"There is no retention class {', '.join(unknown)}.")
    return [replace(one, years=years[one.code]) for one in assigned]


# --- review and disposal


async def review(store: Store, stored: StoredObject, act: Act, token: Token, *, dispose: bool, reason: str) -> Review:
    """Record that a person reviewed an object, to keep it or to propose its disposal.

    Raises KeyReused, ReviewOpen, NotVouched, Held, RetentionRuns, Disposed.
    """
    state = ReviewState.PROPOSED if dispose else ReviewState.KEPT
    async with vouching.telling(store, actor=act.actor), acting(store) as db:
        stored = await find_object(db, stored.id) or stored  # what is looked at is what is written
        made = Review(act.id, stored.id, stored.incident, state, reason, token.actor, token.name, store.clock())
        known = await storage.find_review(db, made.id)
        if known is not None:
            if (known.object, known.reason, known.state is ReviewState.KEPT) != (stored.id, reason, not dispose):
                raise KeyReused
            return known
        if dispose:
            await _check_may_dispose(store, db, stored)
        if not await storage.insert_review(db, made):
            raise ReviewOpen
        await _record_review(store, db, stored, made, actor=token.actor, reason=reason)
    return made


async def decide(store: Store, review_id: str, token: Token, *, approve: bool, reason: str) -> Review:
    """Approve or reject a proposed disposal, as a second person; approved, it is carried out at once.

    Raises NotFound, SamePerson, ReviewClosed, NotVouched, Held, RetentionRuns.
    """
    wanted = ReviewState.APPROVED if approve else ReviewState.REJECTED
    async with vouching.telling(store, actor=token.actor), acting(store) as db:
        found = await storage.find_review(db, review_id)
        stored = await find_object(db, found.object) if found else None
        if found is None or stored is None or not token.sees(found.incident):
            raise NotFound
        check_second_person(found, token.name)
        if found.state is not ReviewState.PROPOSED:
            same = (found.decided_by, found.decision_reason) == (token.actor, reason)
            if not same or approve is (found.state is ReviewState.REJECTED):
                raise ReviewClosed(about=stored.id)
        else:
            now = store.clock()
            found = replace(
                found, state=wanted, decided_by=token.actor, decided_name=token.name, decided_at=now,
                decision_reason=reason,
            )  # fmt: skip
            if approve:
                await _check_may_dispose(store, db, stored)
            await storage.update_review(db, found, before=ReviewState.PROPOSED)
            if approve and not await move_object(db, stored.id, before=_KEPT, after=ObjectState.DISPOSING):
                raise Held(about=stored.id)
            await _record_review(store, db, stored, found, actor=token.actor, reason=reason)
    if found.state is ReviewState.APPROVED:
        await finish_disposal(store, replace(stored, state=ObjectState.DISPOSING), found)
    async with store.database.read() as db:
        return await storage.find_review(db, review_id) or found


async def finish_disposal(store: Store, stored: StoredObject, approved: Review) -> None:
    """Destroy key and bytes of an object, then say so; each step may have been done before a crash.

    Nothing is destroyed on the word of the database alone: the signed ledger must say that two people approved it, and
    of the object what its row says. A row that was changed since is left and told by each sweep until it is put right.
    Raises NotVouched.
    """
    async with vouching.telling(store, actor=_ACTOR), store.database.read() as db:
        if not await _is_approved(store, db, approved):
            log.error("disposal_not_in_the_ledger", object=stored.id, review=approved.id)
            return
        await vouching.require(db, store, stored)
    try:
        lock = await store.run(store.backend.lock, stored.id)
    except Busy:
        return  # its key is being wrapped anew, or another process is at it: the next sweep comes back
    try:
        await store.run(store.backend.destroy, stored.id)
    finally:
        lock.finish()
    async with acting(store) as db:
        if not await move_object(db, stored.id, before=[ObjectState.DISPOSING], after=ObjectState.DISPOSED):
            return  # another process said it
        await media_storage.forget(db, stored.id)
        label, now = await find_label(db, stored.id), store.clock()
        sequence = await store.record(
            db, actor=approved.decided_by or "", action=Action.DISPOSED, object_id=stored.id, digest=stored.sha256,
            purpose=approved.reason, review=approved.id, reviewed_by=approved.reviewed_by,
            reviewed_at=approved.reviewed_at.isoformat(), approved_by=approved.decided_by,
            incident=stored.incident, size_bytes=stored.size_bytes, mark=label.mark if label else "",
        )  # fmt: skip
        done = replace(approved, state=ReviewState.DONE, done_at=now, sequence=sequence)
        await storage.update_review(db, done, before=ReviewState.APPROVED)
        await announce(
            store, db, Action.DISPOSED, sequence=sequence, object_id=stored.id, incident=stored.incident,
            digest=stored.sha256, review=approved.id,
        )  # fmt: skip
    store.news.set()


async def _is_approved(store: Store, db: Connection, approved: Review) -> bool:
    """Say whether lines that are in the signed ledger propose and approve this, by two people."""
    try:
        lines = await ledger.list_all_of(db, approved.object)
    except Damaged:
        return False
    people: dict[str, str] = {}
    for line in lines:
        said = (line.action, line.object, line.details.get("review"))
        is_about_it = said == (Action.REVIEWED, approved.object, approved.id)
        if is_about_it and await ledger.is_signed(db, store.keys.ledger, line):
            people[line.details["outcome"]] = line.actor.split(":")[1].casefold()
    first, second = (people.get(state.value) for state in (ReviewState.PROPOSED, ReviewState.APPROVED))
    return None not in {first, second} and first != second


async def finish_disposals(store: Store) -> None:
    """Carry out what was approved and interrupted."""
    async with store.database.read() as db:
        waiting = await storage.list_disposing(db)
    for stored, approved in waiting:
        try:
            await finish_disposal(store, stored, approved)
        except (StoreError, OSError) as problem:  # one object that cannot be removed must not keep the others
            log.error("object_not_disposed", object=stored.id, problem=type(problem).__name__)


async def _check_may_dispose(store: Store, db: Connection, stored: StoredObject) -> None:
    await vouching.require(db, store, stored)  # by its incident holds are looked for
    holds = [hold for hold in await storage.list_holds_on(db, stored) if hold.released_at is None]
    until = keep_until(await storage.list_assigned(db, stored.id))
    try:
        check_may_dispose(stored.state, holds, until, now=store.clock())
    except Refusal as refusal:
        refusal.about = stored.id
        raise


async def _check_there(db: Connection, stored: StoredObject) -> None:
    current = await find_object(db, stored.id)
    if current is None or current.state not in _KEPT:
        raise Disposed


async def _record_review(
    store: Store, db: Connection, stored: StoredObject, made: Review, *, actor: str, reason: str
) -> None:
    await store.record(
        db, actor=actor, action=Action.REVIEWED, object_id=stored.id, digest=stored.sha256, purpose=reason,
        review=made.id, outcome=made.state.value,
    )  # fmt: skip
