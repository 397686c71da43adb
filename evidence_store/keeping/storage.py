"""Tables of keeping, and all their SQL. Triggers on them stand in `migrations/guards_keeping.py`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    delete,
    exists,
    insert,
    select,
    text,
    true,
    update,
)

from evidence_store.database import METADATA, Connection, UtcDateTime, change_one
from evidence_store.keeping.defaults import DEFAULTS, REVIEWED_AGAIN_AFTER
from evidence_store.keeping.lists import Place
from evidence_store.keeping.model import Assigned, Due, Hold, RetentionClass, Review, ReviewState
from evidence_store.keeping.retention import keep_until
from evidence_store.model import ObjectState, StoredObject
from evidence_store.storage import OBJECTS, object_of

_KEPT = (ObjectState.RECEIVED.value, ObjectState.QUARANTINED.value)

_HOLDS = Table(
    "holds",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("incident", String(64), nullable=False, index=True),
    Column("object", String(32), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("placed_by", String(120), nullable=False),
    Column("placed_at", UtcDateTime, nullable=False),
    Column("released_by", String(120)),
    Column("released_at", UtcDateTime),
    Column("release_reason", Text, nullable=False),
    CheckConstraint("(released_at IS NULL) = (released_by IS NULL)", name="released"),
)
_CLASSES = Table(
    "retention_classes",
    METADATA,
    Column("code", String(40), primary_key=True),
    Column("title", String(200), nullable=False),
    Column("years", Integer),
    Column("source", Text, nullable=False),
)
_ASSIGNED = Table(
    "object_retention",
    METADATA,
    Column("object", String(32), ForeignKey("objects.id", name="fk_object_retention_object"), primary_key=True),
    Column("code", String(40), ForeignKey("retention_classes.code", name="fk_object_retention_code"), primary_key=True),
    Column("starts_at", UtcDateTime, nullable=False),
)
_ENDS = Table(
    "retention_ends",  # follows from the two tables above; kept so that what is due can be found
    METADATA,
    Column("object", String(32), ForeignKey("objects.id", name="fk_retention_ends_object"), primary_key=True),
    Column("ends_at", UtcDateTime, nullable=False),
    Index("ix_retention_ends_place", "ends_at", "object"),
)
_OPEN = "state IN ('proposed', 'approved')"
_OPEN_STATES = (ReviewState.PROPOSED.value, ReviewState.APPROVED.value)
_REVIEWS = Table(
    "reviews",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("object", String(32), ForeignKey("objects.id", name="fk_reviews_object"), nullable=False, index=True),
    Column("incident", String(64), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("reviewed_by", String(120), nullable=False),
    Column("reviewed_name", String(64), nullable=False),
    Column("reviewed_at", UtcDateTime, nullable=False),
    Column("decided_by", String(120)),
    Column("decided_name", String(64)),
    Column("decided_at", UtcDateTime),
    Column("decision_reason", Text, nullable=False),
    Column("done_at", UtcDateTime),
    Column("sequence", BigInteger),
    CheckConstraint("decided_name IS NULL OR lower(decided_name) <> lower(reviewed_name)", name="two_people"),
    CheckConstraint("state IN ('kept', 'proposed') OR decided_name IS NOT NULL", name="decided"),
    Index("uq_reviews_open_object", "object", unique=True, sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
)


# --- holds


async def insert_hold(db: Connection, hold: Hold) -> bool:
    """Place a hold; False when its id is taken or the object is gone."""
    return await change_one(db, insert(_HOLDS).values(asdict(hold)))


async def find_hold(db: Connection, hold_id: str) -> Hold | None:
    """Return a hold, or None."""
    row = (await db.execute(select(_HOLDS).where(_HOLDS.c.id == hold_id))).first()
    return Hold(**row._asdict()) if row else None


async def release_hold(db: Connection, hold: Hold) -> bool:
    """Note that an open hold was released; False when it was before."""
    values = {name: getattr(hold, name) for name in ("released_by", "released_at", "release_reason")}
    is_open = (_HOLDS.c.id == hold.id) & _HOLDS.c.released_at.is_(None)
    return await change_one(db, update(_HOLDS).where(is_open).values(values))


async def list_holds(db: Connection, incident: str, *, limit: int, after: Place | None = None) -> list[Hold]:
    """Return an incident's holds, oldest first."""
    chosen = select(_HOLDS).where(_HOLDS.c.incident == incident).order_by(_HOLDS.c.placed_at, _HOLDS.c.id)
    chosen = chosen.where(is_behind(_HOLDS.c.placed_at, _HOLDS.c.id, after))
    return [Hold(**row._asdict()) for row in await db.execute(chosen.limit(limit))]


async def list_open_holds(db: Connection, *, incident: str | None, limit: int) -> list[Hold]:
    """Return the holds that are open, oldest first; of one incident when it is named."""
    chosen = select(_HOLDS).where(_HOLDS.c.released_at.is_(None))
    if incident is not None:
        chosen = chosen.where(_HOLDS.c.incident == incident)
    rows = await db.execute(chosen.order_by(_HOLDS.c.placed_at, _HOLDS.c.id).limit(limit))
    return [Hold(**row._asdict()) for row in rows]


async def list_holds_on(db: Connection, stored: StoredObject) -> list[Hold]:
    """Return the holds, open and released, that touch an object."""
    touches = (_HOLDS.c.incident == stored.incident) & _HOLDS.c.object.in_(["", stored.id])
    chosen = select(_HOLDS).where(touches).order_by(_HOLDS.c.placed_at, _HOLDS.c.id)
    return [Hold(**row._asdict()) for row in await db.execute(chosen)]


async def find_held(db: Connection, objects: Sequence[StoredObject]) -> set[str]:
    """Return the ids of those of these objects that an open hold covers."""
    incidents, ids = {one.incident for one in objects}, [one.id for one in objects]
    covers = _HOLDS.c.incident.in_(incidents) & _HOLDS.c.object.in_(["", *ids])
    chosen = select(_HOLDS.c.incident, _HOLDS.c.object).where(covers & _HOLDS.c.released_at.is_(None))
    held = {(row.incident, row.object) for row in await db.execute(chosen)}
    return {one.id for one in objects if held & {(one.incident, ""), (one.incident, one.id)}}


# --- retention


async def list_classes(db: Connection) -> list[RetentionClass]:
    """Return the force's table."""
    return [RetentionClass(**row._asdict()) for row in await db.execute(select(_CLASSES).order_by(_CLASSES.c.code))]


async def put_class(db: Connection, row: RetentionClass) -> None:
    """Add or change a row of the table."""
    known = _CLASSES.c.code == row.code
    if (await db.execute(update(_CLASSES).where(known).values(asdict(row)))).rowcount == 0:
        await db.execute(insert(_CLASSES).values(asdict(row)))
    await _restate_ends(db, select(_ASSIGNED.c.object).where(_ASSIGNED.c.code == row.code))


async def list_assigned(db: Connection, object_id: str) -> list[Assigned]:
    """Return the classes that an object is kept by, as the table says them now."""
    chosen = select(_ASSIGNED.c.code, _CLASSES.c.years, _ASSIGNED.c.starts_at).join_from(_ASSIGNED, _CLASSES)
    rows = await db.execute(chosen.where(_ASSIGNED.c.object == object_id).order_by(_ASSIGNED.c.code))
    return [Assigned(row.code, row.years, row.starts_at) for row in rows]


async def set_assigned(db: Connection, object_id: str, assigned: Sequence[Assigned]) -> None:
    """Replace the classes that an object is kept by."""
    await db.execute(delete(_ASSIGNED).where(_ASSIGNED.c.object == object_id))
    if assigned:
        rows = [{"object": object_id, "code": one.code, "starts_at": one.starts_at} for one in assigned]
        await db.execute(insert(_ASSIGNED), rows)
    await _restate_ends(db, select(OBJECTS.c.id).where(OBJECTS.c.id == object_id))


async def _restate_ends(db: Connection, objects: Select[Any]) -> None:
    """Let the ends of these objects' retention follow from their classes."""
    chosen = select(_ASSIGNED.c.object, _ASSIGNED.c.code, _CLASSES.c.years, _ASSIGNED.c.starts_at)
    chosen = chosen.join_from(_ASSIGNED, _CLASSES).where(_ASSIGNED.c.object.in_(objects))
    assigned: dict[str, list[Assigned]] = {}
    for row in await db.execute(chosen):
        assigned.setdefault(row.object, []).append(Assigned(row.code, row.years, row.starts_at))
    await db.execute(delete(_ENDS).where(_ENDS.c.object.in_(objects)))
    ends = [{"object": one, "ends_at": until} for one, of in assigned.items() if (until := keep_until(of)) is not None]
    if ends:
        await db.execute(insert(_ENDS), ends)


async def list_due(
    db: Connection, *, before: datetime, incident: str | None, after: Place | None, limit: int
) -> list[Due]:
    """Return objects whose retention ends before an instant, those that end first first.

    None with an open review, and none that a review kept less than REVIEWED_AGAIN_AFTER before that instant.
    """
    touching = (_HOLDS.c.incident == OBJECTS.c.incident) & _HOLDS.c.object.in_(["", OBJECTS.c.id])
    held = exists().where(touching & _HOLDS.c.released_at.is_(None))
    kept = (_REVIEWS.c.state == ReviewState.KEPT.value) & (_REVIEWS.c.reviewed_at > before - REVIEWED_AGAIN_AFTER)
    reviewed = exists().where((_REVIEWS.c.object == OBJECTS.c.id) & (_REVIEWS.c.state.in_(_OPEN_STATES) | kept))
    chosen = select(_ENDS.c.object, _ENDS.c.ends_at, held.label("is_held")).join_from(_ENDS, OBJECTS)
    chosen = chosen.where(_ENDS.c.ends_at < before, OBJECTS.c.state.in_(_KEPT), ~reviewed)
    chosen = chosen.where(is_behind(_ENDS.c.ends_at, _ENDS.c.object, after))
    if incident is not None:
        chosen = chosen.where(OBJECTS.c.incident == incident)
    rows = (await db.execute(chosen.order_by(_ENDS.c.ends_at, _ENDS.c.object).limit(limit))).all()
    found = await db.execute(select(OBJECTS).where(OBJECTS.c.id.in_([row.object for row in rows])))
    objects = {row.id: object_of(row) for row in found}
    return [Due(objects[row.object], row.ends_at, bool(row.is_held)) for row in rows]


def is_behind(at: Any, id_: Any, after: Place | None) -> Any:
    """Say in SQL whether a row comes behind a place of a list that is ordered by a time and an id."""
    return true() if after is None else (at > after[0]) | ((at == after[0]) & (id_ > after[1]))


async def prepare(db: Connection) -> None:
    """Begin the force's table with the defaults, where there is none."""
    if not await list_classes(db):
        await change_one(db, insert(_CLASSES).values(DEFAULTS))
    if (await db.execute(select(_ENDS).limit(1))).first() is None:  # kept by classes before ends were kept
        await _restate_ends(db, select(_ASSIGNED.c.object))


# --- reviews


async def insert_review(db: Connection, review: Review) -> bool:
    """Add a review; False when its id is taken, or the object has an open one."""
    return await change_one(db, insert(_REVIEWS).values(asdict(review) | {"state": review.state.value}))


async def find_review(db: Connection, review_id: str) -> Review | None:
    """Return a review, or None."""
    row = (await db.execute(select(_REVIEWS).where(_REVIEWS.c.id == review_id))).first()
    return _review(row) if row else None


async def list_reviews_on(db: Connection, object_id: str) -> list[Review]:
    """Return an object's reviews, oldest first."""
    chosen = select(_REVIEWS).where(_REVIEWS.c.object == object_id).order_by(_REVIEWS.c.reviewed_at, _REVIEWS.c.id)
    return [_review(row) for row in await db.execute(chosen)]


async def list_proposed(
    db: Connection, *, incident: str | None, limit: int, after: Place | None = None
) -> list[Review]:
    """Return reviews that wait for a second person, oldest first."""
    chosen = select(_REVIEWS).where(_REVIEWS.c.state == ReviewState.PROPOSED.value)
    chosen = chosen.where(is_behind(_REVIEWS.c.reviewed_at, _REVIEWS.c.id, after))
    if incident is not None:
        chosen = chosen.where(_REVIEWS.c.incident == incident)
    rows = await db.execute(chosen.order_by(_REVIEWS.c.reviewed_at, _REVIEWS.c.id).limit(limit))
    return [_review(row) for row in rows]


async def update_review(db: Connection, review: Review, *, before: ReviewState) -> bool:
    """Move a review on from a state; False when it is not there any more."""
    mine = (_REVIEWS.c.id == review.id) & (_REVIEWS.c.state == before.value)
    return await change_one(db, update(_REVIEWS).where(mine).values(asdict(review) | {"state": review.state.value}))


def _review(row: Row[Any]) -> Review:
    values = row._asdict()
    return Review(**values | {"state": ReviewState(values["state"])})


async def list_all(db: Connection) -> tuple[list[Hold], dict[str, list[Assigned]], list[Review]]:
    """Return all holds, the classes of every object that has some, and all reviews, to be checked by the ledger."""
    holds = [Hold(**row._asdict()) for row in await db.execute(select(_HOLDS))]
    assigned: dict[str, list[Assigned]] = {}
    for row in await db.execute(select(_ASSIGNED)):
        assigned.setdefault(row.object, []).append(Assigned(row.code, None, row.starts_at))
    return holds, assigned, [_review(row) for row in await db.execute(select(_REVIEWS))]


# --- objects that go


async def list_disposing(db: Connection) -> list[tuple[StoredObject, Review]]:
    """Return objects whose disposal was approved and is not finished."""
    chosen = select(OBJECTS).where(OBJECTS.c.state == ObjectState.DISPOSING.value).limit(1000)
    found = [object_of(row) for row in await db.execute(chosen)]
    approved = select(_REVIEWS).where(_REVIEWS.c.state == ReviewState.APPROVED.value)
    reviews = {row.object: _review(row) for row in await db.execute(approved)}
    return [(stored, reviews[stored.id]) for stored in found if stored.id in reviews]
