"""The table of releases, and all its SQL. A trigger on objects stands in `migrations/guards_quarantine.py`."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Row,
    String,
    Table,
    Text,
    insert,
    select,
    text,
    update,
)

from evidence_store.database import METADATA, Connection, UtcDateTime, change_one
from evidence_store.keeping.lists import Place
from evidence_store.keeping.storage import is_behind
from evidence_store.model import ObjectState
from evidence_store.quarantine.model import Release, ReleaseState
from evidence_store.storage import OBJECTS

_OPEN = "state = 'proposed'"
_RELEASES = Table(
    "releases",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("object", String(32), ForeignKey("objects.id", name="fk_releases_object"), nullable=False, index=True),
    Column("incident", String(64), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("knowing", String(16), nullable=False),
    Column("malware", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_by", String(120), nullable=False),
    Column("asked_name", String(64), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("decided_by", String(120)),
    Column("decided_name", String(64)),
    Column("decided_at", UtcDateTime),
    Column("decision_reason", Text, nullable=False),
    CheckConstraint("decided_name IS NULL OR lower(decided_name) <> lower(asked_name)", name="two_people"),
    CheckConstraint("state <> 'released' OR malware = '' OR decided_name IS NOT NULL", name="malware_needs_two"),
    Index("uq_releases_open_object", "object", unique=True, sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
)


async def insert_release(db: Connection, release: Release) -> bool:
    """Add a release; False when its id is taken, or the object has an open one."""
    return await change_one(db, insert(_RELEASES).values(_values(release)))


async def find_release(db: Connection, release_id: str) -> Release | None:
    """Return a release, or None."""
    row = (await db.execute(select(_RELEASES).where(_RELEASES.c.id == release_id))).first()
    return _release(row) if row else None


async def list_releases_on(db: Connection, object_id: str) -> list[Release]:
    """Return an object's releases, oldest first."""
    chosen = select(_RELEASES).where(_RELEASES.c.object == object_id)
    return [_release(row) for row in await db.execute(chosen.order_by(_RELEASES.c.asked_at, _RELEASES.c.id))]


async def list_all(db: Connection) -> list[Release]:
    """Return every release, for who checks them against the ledger."""
    return [_release(row) for row in await db.execute(select(_RELEASES))]


async def list_proposed(
    db: Connection, *, incident: str | None, limit: int, after: Place | None = None
) -> list[Release]:
    """Return releases that wait for a second person and whose objects are still set aside, oldest first."""
    chosen = select(_RELEASES).join(OBJECTS, OBJECTS.c.id == _RELEASES.c.object)
    chosen = chosen.where(
        _RELEASES.c.state == ReleaseState.PROPOSED.value, OBJECTS.c.state == ObjectState.QUARANTINED.value
    )
    if incident is not None:
        chosen = chosen.where(_RELEASES.c.incident == incident)
    chosen = chosen.where(is_behind(_RELEASES.c.asked_at, _RELEASES.c.id, after))
    rows = await db.execute(chosen.order_by(_RELEASES.c.asked_at, _RELEASES.c.id).limit(limit))
    return [_release(row) for row in rows]


async def update_release(db: Connection, release: Release) -> bool:
    """Move a proposed release on; False when it is not proposed any more."""
    mine = (_RELEASES.c.id == release.id) & (_RELEASES.c.state == ReleaseState.PROPOSED.value)
    return await change_one(db, update(_RELEASES).where(mine).values(_values(release)))


async def overtake(db: Connection, object_id: str, *, but: str) -> None:
    """Close an object's proposal that was made knowing something else than what is known now (`but`)."""
    stale = (_RELEASES.c.object == object_id) & (_RELEASES.c.state == ReleaseState.PROPOSED.value)
    stale &= _RELEASES.c.knowing != but
    await db.execute(update(_RELEASES).where(stale).values(state=ReleaseState.OVERTAKEN.value))


async def was_released_with(db: Connection, object_id: str, malware: str) -> bool:
    """Say whether people released an object knowing that this was found in it."""
    known = (_RELEASES.c.object == object_id) & (_RELEASES.c.malware == malware)
    known &= _RELEASES.c.state == ReleaseState.RELEASED.value
    return (await db.execute(select(_RELEASES.c.id).where(known).limit(1))).first() is not None


def _values(release: Release) -> dict[str, Any]:
    return asdict(release) | {"state": release.state.value}


def _release(row: Row[Any]) -> Release:
    values = row._asdict()
    return Release(**values | {"state": ReleaseState(values["state"])})
