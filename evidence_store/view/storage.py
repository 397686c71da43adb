"""Tables of the pages, and all their SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, Table, delete, func, insert, select, update

from evidence_store.database import METADATA, Connection, UtcDateTime, change_one
from evidence_store.model import StoredObject
from evidence_store.storage import OBJECTS, object_of
from evidence_store.view.model import Session

_SESSIONS = Table(
    "view_sessions",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("ticket", String(32), nullable=False, unique=True),
    Column("person", String(60), nullable=False),
    Column("title", String(120), nullable=False),
    Column("role", String(20), nullable=False),
    Column("incident", String(64)),
    Column("reference", String(64), nullable=False),
    Column("home", String(61), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
)
_CHOSEN = Table(
    "view_chosen",
    METADATA,
    Column("session", String(32), ForeignKey("view_sessions.id", name="fk_view_chosen_session"), primary_key=True),
    Column("object", String(32), ForeignKey("objects.id", name="fk_view_chosen_object"), primary_key=True),
    Column("chosen_at", UtcDateTime, nullable=False),
)


# --- sessions


async def insert_session(db: Connection, session: Session, *, secret_sha256: str) -> bool:
    """Open a session; False when its ticket was used before."""
    return await change_one(db, insert(_SESSIONS).values(asdict(session) | {"secret_sha256": secret_sha256}))


async def find_session(db: Connection, secret_sha256: str) -> Session | None:
    """Return the session of a cookie, open or not; None for a cookie that we never gave."""
    columns = [column for column in _SESSIONS.c if column.name != "secret_sha256"]
    row = (await db.execute(select(*columns).where(_SESSIONS.c.secret_sha256 == secret_sha256))).first()
    return Session(**row._asdict()) if row else None


async def touch_session(db: Connection, session_id: str, *, now: datetime) -> None:
    """Note that the person is still there."""
    await db.execute(update(_SESSIONS).where(_SESSIONS.c.id == session_id).values(seen_at=now))


async def end_session(db: Connection, session_id: str, *, now: datetime) -> None:
    """End a session; ending it twice changes nothing."""
    is_open = (_SESSIONS.c.id == session_id) & _SESSIONS.c.ended_at.is_(None)
    await db.execute(update(_SESSIONS).where(is_open).values(ended_at=now))


async def forget_sessions(db: Connection, *, before: datetime) -> None:
    """Drop sessions that ran out before an instant, and what was chosen in them."""
    old = select(_SESSIONS.c.id).where(_SESSIONS.c.ends_at < before)
    await db.execute(delete(_CHOSEN).where(_CHOSEN.c.session.in_(old)))
    await db.execute(delete(_SESSIONS).where(_SESSIONS.c.ends_at < before))


# --- what was chosen for a court package


async def choose(db: Connection, session_id: str, object_id: str, *, now: datetime) -> None:
    """Choose an object; choosing it twice changes nothing."""
    await change_one(db, insert(_CHOSEN).values(session=session_id, object=object_id, chosen_at=now))


async def put_back(db: Connection, session_id: str, object_id: str | None = None) -> None:
    """Put back one chosen object, or all of them."""
    gone = _CHOSEN.c.session == session_id
    if object_id is not None:
        gone &= _CHOSEN.c.object == object_id
    await db.execute(delete(_CHOSEN).where(gone))


async def list_chosen(db: Connection, session_id: str) -> Sequence[StoredObject]:
    """Return what was chosen, in the order it was sealed."""
    chosen = select(OBJECTS).join(_CHOSEN, _CHOSEN.c.object == OBJECTS.c.id).where(_CHOSEN.c.session == session_id)
    return [object_of(row) for row in await db.execute(chosen.order_by(OBJECTS.c.sequence))]


async def count_chosen(db: Connection, session_id: str) -> int:
    """Return how many objects were chosen."""
    chosen = select(func.count()).select_from(_CHOSEN).where(_CHOSEN.c.session == session_id)
    return int((await db.execute(chosen)).scalar_one())
