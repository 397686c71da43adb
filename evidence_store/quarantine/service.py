"""One function for each thing people do about quarantine; each is one transaction with its line in the ledger.

quarantined ─ one person, where nothing was found ────────────▶ received
            ─ proposed, then approved by another, for malware ─▶ received
"""

from dataclasses import replace

from evidence_store.custody.service import Act, acting
from evidence_store.database import Connection
from evidence_store.errors import Disposed, KeyReused, NotFound, NotQuarantined, Refusal, ReleaseClosed, ReleaseOpen
from evidence_store.media import storage as media_storage
from evidence_store.media.model import Problem
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.quarantine import storage
from evidence_store.quarantine.model import Release, ReleaseState, Standing, check_may_release, check_second_person
from evidence_store.screening import storage as screening_storage
from evidence_store.storage import find_object, move_object
from evidence_store.store import Store
from evidence_store.tokens import Token
from evidence_store.webhooks.service import announce


async def read_standing(db: Connection, stored: StoredObject) -> Standing:
    """Return what is known of an object that is, or would be, set aside."""
    screening = await screening_storage.find(db, stored.id)
    return Standing(stored.client_digest, screening.verdict if screening else "", screening.reason if screening else "")


async def release(store: Store, stored: StoredObject, act: Act, token: Token, *, knowing: str, reason: str) -> Release:
    """Take an object out of quarantine, or propose it where malware was found; the same act again changes nothing.

    knowing  of the standing that the person saw (`Standing.knowing`)
    Raises KeyReused, Disposed, NotQuarantined, QuarantineChanged, ReleaseOpen
    """
    async with acting(store) as db:
        known = await storage.find_release(db, act.id)
        if known is not None:
            if (known.object, known.knowing, known.reason) != (stored.id, knowing, reason):
                raise KeyReused
            return known
        current, standing = await _look(db, stored.id)
        check_may_release(current.state, standing, knowing)
        state = ReleaseState.PROPOSED if standing.needs_two else ReleaseState.RELEASED
        made = Release(
            act.id, stored.id, stored.incident, state, knowing, standing.malware, reason, token.actor, token.name,
            store.clock(),
        )  # fmt: skip
        await storage.overtake(db, stored.id, but=knowing)
        if not await storage.insert_release(db, made):
            raise ReleaseOpen
        await _carry_out(store, db, current, standing, made, actor=token.actor, reason=reason)
    store.news.set()
    return made


async def decide(store: Store, release_id: str, token: Token, *, approve: bool, reason: str) -> Release:
    """Approve or reject a proposed release, as a second person; approved, it is carried out at once.

    Raises NotFound, SamePerson, ReleaseClosed, Disposed, NotQuarantined, QuarantineChanged.
    """
    wanted = ReleaseState.RELEASED if approve else ReleaseState.REJECTED
    async with acting(store) as db:
        found = await storage.find_release(db, release_id)
        if found is None or not token.sees(found.incident):
            raise NotFound
        check_second_person(found, token.name)
        if found.state is not ReleaseState.PROPOSED:
            if (found.state, found.decided_by, found.decision_reason) != (wanted, token.actor, reason):
                raise ReleaseClosed(about=found.object)
            return found
        current, standing = await _look(db, found.object)
        if approve:
            try:
                check_may_release(current.state, standing, found.knowing)
            except Refusal as refusal:
                refusal.about = current.id
                raise
        made = replace(
            found, state=wanted, decided_by=token.actor, decided_name=token.name, decided_at=store.clock(),
            decision_reason=reason,
        )  # fmt: skip
        if not await storage.update_release(db, made):
            raise ReleaseClosed(about=current.id)
        await _carry_out(store, db, current, standing, made, actor=token.actor, reason=reason)
    store.news.set()
    return made


async def _look(db: Connection, object_id: str) -> tuple[StoredObject, Standing]:
    current = await find_object(db, object_id)
    if current is None:
        raise Disposed
    return current, await read_standing(db, current)


async def _carry_out(
    store: Store, db: Connection, stored: StoredObject, standing: Standing, made: Release, *, actor: str, reason: str
) -> None:
    """Move the object where it is released, and say in the ledger what was decided, knowing what."""
    is_released = made.state is ReleaseState.RELEASED
    if is_released and not await move_object(
        db, stored.id, before=[ObjectState.QUARANTINED], after=ObjectState.RECEIVED
    ):
        raise NotQuarantined(about=stored.id)
    if is_released and made.malware:
        await media_storage.close(db, stored.id, Problem.MALWARE)
    said = {"asked_at": made.asked_at.isoformat()}
    if made.decided_at is not None:
        said = {"proposed_by": made.asked_by, "decided_at": made.decided_at.isoformat()}
    sequence = await store.record(
        db, actor=actor, action=Action.QUARANTINE_REVIEWED, object_id=stored.id, digest=stored.sha256, purpose=reason,
        release=made.id, outcome=made.state.value, client_digest=standing.client_digest.value,
        verdict=standing.verdict, found=standing.found, **said,
    )  # fmt: skip
    if is_released:
        await store.tell(db, ObjectState.RECEIVED.value, stored.id, stored.incident)
        await announce(
            store, db, ObjectState.RECEIVED.value, sequence=sequence, object_id=stored.id, incident=stored.incident,
            digest=stored.sha256, release=made.id,
        )  # fmt: skip
