"""Tables of custody, and all their SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Select,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    select,
    update,
)

from evidence_store.custody.model import Label, Link, Note
from evidence_store.custody.search import Search
from evidence_store.database import METADATA, Connection, UtcDateTime, change_one
from evidence_store.model import StoredObject
from evidence_store.storage import OBJECTS, object_of

_LABELS = Table(
    "labels",
    METADATA,
    Column("object", String(32), ForeignKey("objects.id", name="fk_labels_object"), primary_key=True),
    Column("incident", String(64), nullable=False),
    Column("mark", String(40), nullable=False),
    Column("description", Text, nullable=False),
    Column("maker", String(120), nullable=False),
    Column("signed_at", UtcDateTime),
    Column("signed_how", String(200), nullable=False),
    Column("nonce", String(32), nullable=False),
    Column("changed_by", String(120), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("uq_labels_incident_mark", "incident", "mark", unique=True),
)
_NOTES = Table(
    "notes",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("object", String(32), ForeignKey("objects.id", name="fk_notes_object"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("nonce", String(32), nullable=False),
    Column("by", String(120), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
_LINKS = Table(
    "links",
    METADATA,
    Column("object", String(32), ForeignKey("objects.id", name="fk_links_object"), primary_key=True),
    Column("original", String(32), ForeignKey("objects.id", name="fk_links_original"), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("relation", String(20), nullable=False),
    Column("linked_by", String(120), nullable=False),
    Column("linked_at", UtcDateTime, nullable=False),
)


# --- search

_MEDIA = {"picture": "image/", "film": "video/", "sound": "audio/"}


async def search(
    db: Connection, asked: Search, *, after: int, limit: int
) -> Sequence[tuple[StoredObject, Label | None]]:
    """Return sealed objects that fit, with their labels, in the order asked for, behind the line `after` (0: all)."""
    newest = asked.order == "newest"
    by = OBJECTS.c.sequence.desc() if newest else OBJECTS.c.sequence
    behind = OBJECTS.c.sequence < after if newest and after else OBJECTS.c.sequence > after
    ids = list((await db.execute(_fitting(asked).where(behind).order_by(by).limit(limit))).scalars())
    rows = await db.execute(select(OBJECTS).where(OBJECTS.c.id.in_(ids)).order_by(by))
    labels = await _labels_of(db, ids)
    return [(stored, labels.get(stored.id)) for stored in map(object_of, rows)]


async def count(db: Connection, asked: Search, *, most: int) -> int:
    """Return how many sealed objects fit; no further than `most` is counted."""
    fitting = _fitting(asked).where(OBJECTS.c.sequence > 0).limit(most).subquery()
    return int((await db.execute(select(func.count()).select_from(fitting))).scalar_one())


def _fitting(asked: Search) -> Select[Any]:
    exact = {
        OBJECTS.c.incident: asked.incident,
        OBJECTS.c.officer: asked.officer,
        OBJECTS.c.kind: asked.kind,
        OBJECTS.c.state: asked.state,
        OBJECTS.c.sha256: asked.sha256,
        _LABELS.c.mark: asked.mark,
    }
    chosen = select(OBJECTS.c.id).outerjoin(_LABELS, _LABELS.c.object == OBJECTS.c.id)
    for column, wanted in exact.items():
        if wanted is not None:
            chosen = chosen.where(column == wanted)
    if asked.received_from is not None:
        chosen = chosen.where(OBJECTS.c.received_at >= asked.received_from)
    if asked.received_before is not None:
        chosen = chosen.where(OBJECTS.c.received_at < asked.received_before)
    if asked.media is not None:
        chosen = chosen.where(_is_media(asked.media))
    return chosen


def _is_media(media: str) -> ColumnElement[bool]:
    if media in _MEDIA:
        return OBJECTS.c.media_type.startswith(_MEDIA[media])
    return and_(*(~OBJECTS.c.media_type.startswith(prefix) for prefix in _MEDIA.values()))


async def find_by_digest(db: Connection, incident: str, sha256: str, *, but: str) -> StoredObject | None:
    """Return the first sealed object of an incident that has these bytes and is not `but`."""
    fits = (OBJECTS.c.incident == incident) & (OBJECTS.c.sha256 == sha256) & (OBJECTS.c.id != but)
    chosen = select(OBJECTS).where(fits & OBJECTS.c.sequence.is_not(None)).order_by(OBJECTS.c.sequence).limit(1)
    row = (await db.execute(chosen)).first()
    return object_of(row) if row else None


# --- labels


async def find_label(db: Connection, object_id: str) -> Label | None:
    """Return an object's label, or None."""
    return (await _labels_of(db, [object_id])).get(object_id)


async def _labels_of(db: Connection, ids: Sequence[str]) -> dict[str, Label]:
    rows = await db.execute(select(_LABELS).where(_LABELS.c.object.in_(ids)))
    return {row.object: Label(**row._asdict()) for row in rows}


async def put_label(db: Connection, label: Label, *, is_new: bool) -> bool:
    """Set a label; False when the incident has this mark already, or the label was signed meanwhile."""
    unsigned = (_LABELS.c.object == label.object) & _LABELS.c.signed_at.is_(None)
    change = insert(_LABELS) if is_new else update(_LABELS).where(unsigned)
    return await change_one(db, change.values(asdict(label)))


# --- notes


async def insert_note(db: Connection, note: Note) -> bool:
    """Add a note; False when its id is taken."""
    return await change_one(db, insert(_NOTES).values(asdict(note)))


async def find_note(db: Connection, note_id: str) -> Note | None:
    """Return a note, or None."""
    row = (await db.execute(select(_NOTES).where(_NOTES.c.id == note_id))).first()
    return Note(**row._asdict()) if row else None


async def list_notes(db: Connection, object_id: str) -> list[Note]:
    """Return an object's notes, oldest first."""
    rows = await db.execute(select(_NOTES).where(_NOTES.c.object == object_id).order_by(_NOTES.c.at, _NOTES.c.id))
    return [Note(**row._asdict()) for row in rows]


# --- links


async def insert_link(db: Connection, link: Link) -> bool:
    """Say what an object was derived from; False when that was said already."""
    return await change_one(db, insert(_LINKS).values(asdict(link)))


async def find_link(db: Connection, object_id: str) -> Link | None:
    """Return what an object was derived from, or None."""
    row = (await db.execute(select(_LINKS).where(_LINKS.c.object == object_id))).first()
    return Link(**row._asdict()) if row else None


async def list_copies(db: Connection, original_id: str) -> list[Link]:
    """Return what was derived from an object."""
    chosen = select(_LINKS).where(_LINKS.c.original == original_id).order_by(_LINKS.c.linked_at, _LINKS.c.object)
    return [Link(**row._asdict()) for row in await db.execute(chosen)]


async def list_all(db: Connection) -> tuple[list[Label], list[Note], list[Link]]:
    """Return everything that people set here, for who checks it against the ledger."""
    labels = [Label(**row._asdict()) for row in await db.execute(select(_LABELS))]
    notes = [Note(**row._asdict()) for row in await db.execute(select(_NOTES))]
    return labels, notes, [Link(**row._asdict()) for row in await db.execute(select(_LINKS))]
