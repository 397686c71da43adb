"""The table of media, and all its SQL: what waits to be looked into, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text, delete, func, insert, select, update

from evidence_store.database import METADATA, Connection, UtcDateTime
from evidence_store.media.model import Problem
from evidence_store.model import ObjectState, StoredObject
from evidence_store.storage import OBJECTS, object_of

WAITING, DONE = "waiting", "done"
_MEDIA = Table(
    "media",
    METADATA,
    Column("object", String(32), ForeignKey("objects.id", name="fk_media_object"), primary_key=True),
    Column("state", String(12), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("facts", Text, nullable=False),
    Column("problem", String(20), nullable=False),
    Column("play_problem", String(20), nullable=False),
)


@dataclass(frozen=True)
class Looked:
    """What is kept of one object. `facts` are sealed, and empty where there are none; problems are codes or empty."""

    object: str
    state: str
    attempts: int
    next_at: datetime
    facts: str = ""
    problem: str = ""
    play_problem: str = ""


async def enqueue(db: Connection, object_id: str, *, now: datetime) -> None:
    """Have a new object looked into, in the transaction that seals it."""
    values = {"object": object_id, "state": WAITING, "attempts": 0, "next_at": now}
    await db.execute(insert(_MEDIA).values(**values, facts="", problem="", play_problem=""))


async def find(db: Connection, object_id: str) -> Looked | None:
    """Return what is kept of an object, or None."""
    row = (await db.execute(select(_MEDIA).where(_MEDIA.c.object == object_id))).first()
    return Looked(**row._asdict()) if row else None


async def list_due(db: Connection, *, now: datetime, limit: int) -> Sequence[tuple[StoredObject, Looked]]:
    """Return objects whose turn it is to be looked into, with their rows; none that is in quarantine."""
    due = (_MEDIA.c.state == WAITING) & (_MEDIA.c.next_at <= now)
    chosen = select(_MEDIA).join(OBJECTS, OBJECTS.c.id == _MEDIA.c.object)
    chosen = chosen.where(due & (OBJECTS.c.state == ObjectState.RECEIVED.value)).order_by(_MEDIA.c.next_at)
    found = {row.object: Looked(**row._asdict()) for row in await db.execute(chosen.limit(limit))}
    rows = await db.execute(select(OBJECTS).where(OBJECTS.c.id.in_(found)))
    return [(object_of(row), found[row.id]) for row in rows]


async def claim(db: Connection, looked: Looked, *, next_at: datetime) -> bool:
    """Take an object for one look; False when another process has it. It comes again at `next_at` unless finished."""
    mine = (_MEDIA.c.object == looked.object) & (_MEDIA.c.attempts == looked.attempts) & (_MEDIA.c.state == WAITING)
    values = {"attempts": looked.attempts + 1, "next_at": next_at}
    return (await db.execute(update(_MEDIA).where(mine).values(values))).rowcount == 1


async def finish(db: Connection, object_id: str, *, facts: str, problem: str) -> None:
    """Note what came of a look."""
    values = {"state": DONE, "facts": facts, "problem": problem}
    await db.execute(update(_MEDIA).where(_MEDIA.c.object == object_id).values(values))


async def set_play_problem(db: Connection, object_id: str, problem: str) -> None:
    """Note that nothing playable can be made."""
    await db.execute(update(_MEDIA).where(_MEDIA.c.object == object_id).values(play_problem=problem))


async def close(db: Connection, object_id: str, problem: Problem) -> None:
    """Note that an object is not to be opened at all, whatever was known of it."""
    values = {"state": DONE, "facts": "", "problem": problem.value, "play_problem": problem.value}
    await db.execute(update(_MEDIA).where(_MEDIA.c.object == object_id).values(values))


async def open_again(db: Connection, object_id: str, problem: Problem, *, now: datetime) -> None:
    """Have an object looked into that was closed for this problem, which it has no longer."""
    mine = (_MEDIA.c.object == object_id) & (_MEDIA.c.problem == problem.value)
    values = {"state": WAITING, "attempts": 0, "next_at": now, "problem": "", "play_problem": ""}
    await db.execute(update(_MEDIA).where(mine).values(values))


async def look_again(db: Connection, object_id: str, *, now: datetime) -> None:
    """Have an object looked into anew: what was sealed of it opens no more."""
    values = {"state": WAITING, "attempts": 0, "next_at": now, "facts": "", "problem": ""}
    await db.execute(update(_MEDIA).where(_MEDIA.c.object == object_id).values(values))


async def forget(db: Connection, object_id: str) -> None:
    """Remove what a disposed object said of itself."""
    await db.execute(delete(_MEDIA).where(_MEDIA.c.object == object_id))


async def count_waiting(db: Connection) -> int:
    """Return how many objects wait to be looked into."""
    waiting = select(func.count()).select_from(_MEDIA).where(_MEDIA.c.state == WAITING)
    return int((await db.execute(waiting)).scalar_one())
