"""Break the glass over an object or an incident: a line of its own in the ledger, and an alarm, in one transaction."""

from dataclasses import dataclass
from datetime import timedelta

from evidence_store.breakglass import storage
from evidence_store.breakglass.model import Glass
from evidence_store.custody.service import Act, acting
from evidence_store.errors import KeyReused
from evidence_store.model import Action
from evidence_store.store import Store
from evidence_store.tokens import Token
from evidence_store.webhooks.service import announce


@dataclass(frozen=True)
class Wanted:
    """What is to be opened: all of an incident, or the one object of it with this id and digest."""

    incident: str
    object: str | None = None
    sha256: str = ""


async def break_glass(store: Store, wanted: Wanted, act: Act, holder: Token, *, reason: str) -> Glass:
    """Open something to a token for some minutes, alarming the supervisors; the same act again is the same glass.

    Raises KeyReused.
    """
    now = store.clock()
    ends_at = now + timedelta(minutes=store.settings.break_glass_minutes)
    glass = Glass(act.id, wanted.object, wanted.incident, holder.id, act.actor, reason, now, ends_at)
    async with acting(store) as db:
        known = await storage.find_glass(db, glass.id)
        if known is not None:
            if (known.object, known.incident, known.reason) != (glass.object, glass.incident, glass.reason):
                raise KeyReused
            return known
        await storage.insert_glass(db, glass)
        until = ends_at.isoformat()
        sequence = await store.record(
            db, actor=act.actor, action=Action.BREAK_GLASS, object_id=wanted.object or "", digest=wanted.sha256,
            purpose=reason, glass=glass.id, incident=wanted.incident, until=until,
        )  # fmt: skip
        said = {"actor": act.actor, "reason": reason, "until": until}
        await store.tell(db, Action.BREAK_GLASS, wanted.object or "", wanted.incident, **said)
        await announce(
            store, db, Action.BREAK_GLASS, sequence=sequence, object_id=wanted.object or "", incident=wanted.incident,
            **said,
        )  # fmt: skip
    store.news.set()
    return glass
