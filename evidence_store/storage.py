"""Uploads, objects, long runs: their tables, and all SQL that no slice has."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from evidence_store.database import METADATA, Connection, IntegrityError, UtcDateTime, change_one
from evidence_store.model import (
    CLOSED,
    ClientDigest,
    ObjectState,
    Run,
    RunKind,
    StoredObject,
    Upload,
    UploadState,
)

_ASKED_AT_ONCE = 1000
_MOVED = ("offset", "touched_at", "sha256", "completed_at", "media_type", "seal")
_UPLOADS = Table(
    "uploads",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("incident", String(64), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("officer", String(64), nullable=False, server_default=""),
    Column("filename", String(200), nullable=False),
    Column("media_type", String(60), nullable=False),
    Column("kinds", Text, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("state", String(12), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("metadata", Text),
    Column("node", String(32), nullable=False, server_default=""),
    Column("seal", String(43), nullable=False, server_default=""),
)
_OBJECTS = Table(
    "objects",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("incident", String(64), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("media_type", String(60), nullable=False),
    Column("filename", String(200), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("officer", String(64), nullable=False, server_default="", index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("client_digest", String(12), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("verdict", String(12), nullable=False),
    Column("source", String(12), nullable=False),
    Column("staging", String(64), nullable=False),
    Column("sequence", BigInteger, unique=True),
    Column("received_at", UtcDateTime, nullable=False),
    Column("sealed_at", UtcDateTime),
    Column("header_sha256", String(64), nullable=False, server_default=""),
    Column("node", String(32), nullable=False, server_default=""),
    Column("seal", String(43), nullable=False, server_default=""),
    Index("ix_objects_incident_sequence", "incident", "sequence"),
    Index("ix_objects_incident_sha256", "incident", "sha256"),
)
OBJECTS = _OBJECTS  # slices ask about objects together with what they keep of them
_UNREADABLE = (ObjectState.SEALING.value, ObjectState.DISPOSING.value, ObjectState.DISPOSED.value)
_LACKS_HEADER = (_OBJECTS.c.header_sha256 == "") & _OBJECTS.c.state.not_in(_UNREADABLE)
_RUNS = Table(
    "runs",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("kind", String(12), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("after", String(64), nullable=False),
    Column("objects", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("faults", BigInteger, nullable=False),
    Column("details", Text, nullable=False),
)


# --- uploads


async def insert_upload(db: Connection, upload: Upload) -> bool:
    """Add a new upload; False when its id is taken."""
    values = asdict(upload) | {"kinds": json.dumps(upload.kinds), "state": upload.state.value}
    try:
        async with db.begin_nested():
            await db.execute(insert(_UPLOADS).values(values))
    except IntegrityError:
        return False
    return True


async def find_upload(db: Connection, upload_id: str) -> Upload | None:
    """Return the upload, or None."""
    row = (await db.execute(select(_UPLOADS).where(_UPLOADS.c.id == upload_id))).first()
    return _upload(row) if row else None


async def count_open_uploads(db: Connection, node: str | None = None) -> int:
    """Return how many uploads are open, on all nodes or one."""
    counted = select(func.count()).select_from(_UPLOADS).where(_UPLOADS.c.state == UploadState.OPEN.value)
    if node is not None:
        counted = counted.where(_UPLOADS.c.node == node)
    return int((await db.execute(counted)).scalar_one())


async def advance_upload(db: Connection, upload: Upload) -> bool:
    """Write how an open upload stands that its writer, who holds its lock, has moved: forward, never back.

    False when it is not open any more: another node's operator may have given it up with its node.
    """
    values = {name: getattr(upload, name) for name in _MOVED}
    fits = (_UPLOADS.c.id == upload.id) & (_UPLOADS.c.offset <= upload.offset)
    fits &= _UPLOADS.c.state == UploadState.OPEN.value
    return (await db.execute(update(_UPLOADS).where(fits).values(values))).rowcount == 1


async def close_upload(db: Connection, upload_id: str, state: UploadState, *, now: datetime) -> bool:
    """Turn an open upload into something else; False when somebody else did."""
    open_one = (_UPLOADS.c.id == upload_id) & (_UPLOADS.c.state == UploadState.OPEN.value)
    values: dict[str, Any] = {"state": state.value, "touched_at": now}
    if state in CLOSED:
        values["metadata"] = None  # nobody can ask for it any more
    done = await db.execute(update(_UPLOADS).where(open_one).values(values))
    return done.rowcount == 1


async def list_open_uploads(db: Connection) -> Sequence[Upload]:
    """Return every open upload: as many as nodes let in."""
    chosen = select(_UPLOADS).where(_UPLOADS.c.state == UploadState.OPEN.value).order_by(_UPLOADS.c.id)
    return [_upload(row) for row in await db.execute(chosen)]


async def set_seal(db: Connection, row: Upload | StoredObject, *, before: str) -> bool:
    """Keep the seal of an upload or object in place of the one `before`; False when it has another by now."""
    table = _UPLOADS if isinstance(row, Upload) else _OBJECTS
    same = (table.c.id == row.id) & (table.c.seal == before)
    return (await db.execute(update(table).where(same).values(seal=row.seal))).rowcount == 1


async def list_due_uploads(
    db: Connection, node: str, *, complete_before: datetime, idle_before: datetime
) -> Sequence[Upload]:
    """Return open uploads of one node that are complete and waited for their digest, or were abandoned."""
    complete = (_UPLOADS.c.offset == _UPLOADS.c.length) & (
        func.coalesce(_UPLOADS.c.completed_at, _UPLOADS.c.touched_at) <= complete_before
    )
    is_open = (_UPLOADS.c.state == UploadState.OPEN.value) & _UPLOADS.c.node.in_(["", node])
    due = select(_UPLOADS).where(is_open & (complete | (_UPLOADS.c.touched_at <= idle_before)))
    return [_upload(row) for row in await db.execute(due.order_by(_UPLOADS.c.touched_at))]


async def expire_open_uploads(db: Connection, *, now: datetime, node: str | None = None) -> Sequence[Upload]:
    """Close every open upload, perhaps only of one node, as expired, and return them as they were."""
    is_open = _UPLOADS.c.state == UploadState.OPEN.value
    if node is not None:
        is_open &= _UPLOADS.c.node == node
    chosen = select(_UPLOADS).where(is_open).order_by(_UPLOADS.c.id).with_for_update()
    found = [_upload(row) for row in await db.execute(chosen)]
    await db.execute(update(_UPLOADS).where(is_open).values(state=UploadState.EXPIRED.value, touched_at=now))
    return found


async def adopt_nameless(db: Connection, node: str) -> None:
    """Call what was arriving before nodes had names one node's."""
    for arriving, state in ((_UPLOADS, UploadState.OPEN.value), (_OBJECTS, ObjectState.SEALING.value)):
        mine = (arriving.c.state == state) & (arriving.c.node == "")
        await db.execute(update(arriving).where(mine).values(node=node))


def _upload(row: Row[Any]) -> Upload:
    values = row._asdict()
    return Upload(**values | {"kinds": tuple(json.loads(values["kinds"])), "state": UploadState(values["state"])})


# --- objects


async def insert_object(db: Connection, stored: StoredObject) -> bool:
    """Add a new object; False when its id is taken. This row decides which of several writers won."""
    values = asdict(stored)
    for name in ("client_digest", "state", "verdict"):
        values[name] = values[name].value
    try:
        async with db.begin_nested():
            await db.execute(insert(_OBJECTS).values(values))
    except IntegrityError:
        return False
    return True


async def find_object(db: Connection, object_id: str) -> StoredObject | None:
    """Return the object, or None."""
    row = (await db.execute(select(_OBJECTS).where(_OBJECTS.c.id == object_id))).first()
    return object_of(row) if row else None


async def claim_sealed(db: Connection, stored: StoredObject, state: ObjectState, *, now: datetime) -> bool:
    """Move a SEALING object on; False when somebody else did. The row stays locked: only one goes on."""
    mine = (_OBJECTS.c.id == stored.id) & (_OBJECTS.c.state == ObjectState.SEALING.value)
    values = {"state": state.value, "sealed_at": now, "staging": "", "node": "", "seal": ""}
    return (await db.execute(update(_OBJECTS).where(mine).values(values))).rowcount == 1


async def set_sequence(db: Connection, object_id: str, sequence: int) -> None:
    """Note which line of the ledger says that the object was sealed."""
    await db.execute(update(_OBJECTS).where(_OBJECTS.c.id == object_id).values(sequence=sequence))


async def list_sealing(
    db: Connection, node: str | None = None, *, limit: int | None = _ASKED_AT_ONCE
) -> Sequence[StoredObject]:
    """Return objects that are durable on a node's disk (None: any) and not yet in their place."""
    chosen = select(_OBJECTS).where(_OBJECTS.c.state == ObjectState.SEALING.value)
    if node is not None:
        chosen = chosen.where(_OBJECTS.c.node.in_(["", node]))
    return [object_of(row) for row in await db.execute(chosen.order_by(_OBJECTS.c.id).limit(limit))]


async def release_sealing(db: Connection, object_id: str) -> None:
    """Let any node put an object in its place: its bytes are there."""
    await db.execute(update(_OBJECTS).where(_OBJECTS.c.id == object_id).values(node=""))


async def delete_sealing(db: Connection, object_id: str) -> None:
    """Remove an object that never came to its place and has no bytes anywhere."""
    mine = (_OBJECTS.c.id == object_id) & (_OBJECTS.c.state == ObjectState.SEALING.value)
    await db.execute(delete(_OBJECTS).where(mine))


async def note_header(db: Connection, object_id: str, header_sha256: str) -> bool:
    """Keep the digest of an object's header; False when one is kept, or the object is gone."""
    mine = (_OBJECTS.c.id == object_id) & _LACKS_HEADER
    return (await db.execute(update(_OBJECTS).where(mine).values(header_sha256=header_sha256))).rowcount == 1


async def count_without_header(db: Connection) -> int:
    """Return of how many objects that can be read no digest of their header is kept."""
    return int((await db.execute(select(func.count()).select_from(_OBJECTS).where(_LACKS_HEADER))).scalar_one())


async def list_objects(db: Connection, *, after: int, limit: int) -> Sequence[StoredObject]:
    """Return sealed objects in the order they were sealed, behind the ledger's line `after`."""
    chosen = select(_OBJECTS).where(_OBJECTS.c.sequence > after).order_by(_OBJECTS.c.sequence).limit(limit)
    return [object_of(row) for row in await db.execute(chosen)]


async def list_objects_by_id(db: Connection, *, after: str, limit: int) -> Sequence[StoredObject]:
    """Return objects in any state by id, behind the id `after`: an order in which long runs can go on."""
    chosen = select(_OBJECTS).where(_OBJECTS.c.id > after).order_by(_OBJECTS.c.id).limit(limit)
    return [object_of(row) for row in await db.execute(chosen)]


async def list_sequences(db: Connection, ids: Collection[str]) -> dict[str, int | None]:
    """Return, of those of these objects that exist, which line of the ledger says that they were sealed."""
    rows = await db.execute(select(_OBJECTS.c.id, _OBJECTS.c.sequence).where(_OBJECTS.c.id.in_(ids)))
    return {row.id: row.sequence for row in rows}


async def list_incidents(db: Connection, ids: Collection[str]) -> dict[str, str]:
    """Return the incidents of those of these objects that exist."""
    wanted = sorted(ids)
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        some = _OBJECTS.c.id.in_(wanted[start : start + _ASKED_AT_ONCE])
        rows = await db.execute(select(_OBJECTS.c.id, _OBJECTS.c.incident).where(some))
        found |= {row.id: row.incident for row in rows}
    return found


async def count_objects(db: Connection) -> int:
    """Return how many objects are sealed."""
    counted = select(func.count()).select_from(_OBJECTS).where(_OBJECTS.c.state != ObjectState.SEALING.value)
    return int((await db.execute(counted)).scalar_one())


async def move_object(db: Connection, object_id: str, *, before: Collection[ObjectState], after: ObjectState) -> bool:
    """Change an object's state; False when it is in none of those before, or a trigger refuses."""
    mine = (_OBJECTS.c.id == object_id) & _OBJECTS.c.state.in_([state.value for state in before])
    return await change_one(db, update(_OBJECTS).where(mine).values(state=after.value))


async def list_stagings(db: Connection) -> set[str]:
    """Return the folders under incoming/ that SEALING objects still need."""
    rows = await db.execute(select(_OBJECTS.c.staging).where(_OBJECTS.c.state == ObjectState.SEALING.value))
    return set(rows.scalars())


def object_of(row: Row[Any]) -> StoredObject:
    """Return the object that a row of the table is."""
    values = row._asdict()
    states = {name: ObjectState(values[name]) for name in ("state", "verdict")}
    return StoredObject(**values | states | {"client_digest": ClientDigest(values["client_digest"])})


# --- long runs: scrub, rotate, backup


async def insert_run(db: Connection, run: Run) -> None:
    """Note that a run begins."""
    await db.execute(insert(_RUNS).values(asdict(run) | {"details": json.dumps(run.details)}))


async def take_up_run(db: Connection, fresh: Run) -> Run:
    """Return the run of this kind that is not finished, or begin this one; hold the ledger's head, so that of two that
    begin at once one does.
    """
    known = await find_newest_run(db, fresh.kind, finished=False)
    if known is None:
        await insert_run(db, fresh)
    return known or fresh


async def update_run(db: Connection, run: Run) -> bool:
    """Note how far a run is, or that it ended; False when another process that was at it has ended it."""
    values = asdict(run) | {"details": json.dumps(run.details)}
    going_on = (_RUNS.c.id == run.id) & _RUNS.c.finished_at.is_(None)
    return (await db.execute(update(_RUNS).where(going_on).values(values))).rowcount == 1


async def find_newest_run(db: Connection, kind: RunKind, *, finished: bool | None = None) -> Run | None:
    """Return the run of this kind that began last; of those finished, or not finished, when that is asked."""
    chosen = select(_RUNS).where(_RUNS.c.kind == kind.value)
    if finished is not None:
        chosen = chosen.where(_RUNS.c.finished_at.is_not(None) if finished else _RUNS.c.finished_at.is_(None))
    row = (await db.execute(chosen.order_by(_RUNS.c.started_at.desc(), _RUNS.c.id).limit(1))).first()
    return _run(row) if row else None


def _run(row: Row[Any]) -> Run:
    values = row._asdict()
    return Run(**values | {"kind": RunKind(values["kind"]), "details": json.loads(values["details"])})
