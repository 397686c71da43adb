"""The table of screenings, and all its SQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, Select, String, Table, func, insert, or_, select, update

from evidence_store.database import METADATA, Connection, IntegrityError, UtcDateTime
from evidence_store.model import ObjectState, StoredObject
from evidence_store.screening.clamd import Screened
from evidence_store.storage import OBJECTS, object_of

WAITING, DONE = "waiting", "done"
_SCREENINGS = Table(
    "screenings",
    METADATA,
    Column("object", String(32), ForeignKey("objects.id", name="fk_screenings_object"), primary_key=True),
    Column("state", String(12), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("verdict", String(12), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("engine", String(200), nullable=False),
    Column("screened_at", UtcDateTime),
)
_WHERE_IT_WAITS = (ObjectState.SCREENING.value, ObjectState.QUARANTINED.value)
_KEPT = (*_WHERE_IT_WAITS, ObjectState.RECEIVED.value)


@dataclass(frozen=True)
class Screening:
    """Where the screening of one object stands; verdict, reason and engine are empty before the first look."""

    object: str
    state: str
    attempts: int
    next_at: datetime
    verdict: str
    reason: str
    engine: str
    screened_at: datetime | None


async def enqueue(db: Connection, object_id: str, *, now: datetime) -> None:
    """Have a new object screened, in the transaction that seals it."""
    values = {"object": object_id, "state": WAITING, "attempts": 0, "next_at": now}
    await db.execute(insert(_SCREENINGS).values(**values, verdict="", reason="", engine=""))


async def find(db: Connection, object_id: str) -> Screening | None:
    """Return where the screening of an object stands, None when it is not screened."""
    row = (await db.execute(select(_SCREENINGS).where(_SCREENINGS.c.object == object_id))).first()
    return Screening(**row._asdict()) if row else None


async def list_due(db: Connection, *, now: datetime, limit: int) -> Sequence[tuple[StoredObject, Screening]]:
    """Return objects whose turn it is, those that wait longest first."""
    due = (_SCREENINGS.c.state == WAITING) & (_SCREENINGS.c.next_at <= now)
    chosen = select(_SCREENINGS).join(OBJECTS, OBJECTS.c.id == _SCREENINGS.c.object)
    chosen = chosen.where(due & OBJECTS.c.state.in_(_WHERE_IT_WAITS)).order_by(_SCREENINGS.c.next_at).limit(limit)
    found = {row.object: Screening(**row._asdict()) for row in await db.execute(chosen)}
    rows = await db.execute(select(OBJECTS).where(OBJECTS.c.id.in_(found)))
    return [(object_of(row), found[row.id]) for row in rows]


async def list_by_others(
    db: Connection, engine: str, *, after: str, limit: int
) -> list[tuple[StoredObject, Screening | None]]:
    """Return objects that have no verdict by this clamd, by id, behind the id `after`; None: never screened."""
    chosen = select(OBJECTS).where(OBJECTS.c.id > after).order_by(OBJECTS.c.id).limit(limit)
    found = [object_of(row) for row in await db.execute(_by_others(chosen, engine))]
    rows = await db.execute(select(_SCREENINGS).where(_SCREENINGS.c.object.in_([stored.id for stored in found])))
    known = {row.object: Screening(**row._asdict()) for row in rows}
    return [(stored, known.get(stored.id)) for stored in found]


async def count_by_others(db: Connection, engine: str) -> int:
    """Return how many objects have no verdict by this clamd; with an empty name, how many have none at all."""
    counted = select(func.count()).select_from(OBJECTS)
    if engine:
        return int((await db.execute(_by_others(counted, engine))).scalar_one())
    none = or_(_SCREENINGS.c.verdict.is_(None), _SCREENINGS.c.verdict == "")
    return int((await db.execute(_of_kept(counted).where(none))).scalar_one())


def _by_others(chosen: Select[Any], engine: str) -> Select[Any]:
    return _of_kept(chosen).where(or_(_SCREENINGS.c.engine.is_(None), _SCREENINGS.c.engine != engine))


def _of_kept(chosen: Select[Any]) -> Select[Any]:
    beside = chosen.outerjoin(_SCREENINGS, _SCREENINGS.c.object == OBJECTS.c.id)
    return beside.where(OBJECTS.c.state.in_(_KEPT))


async def begin(db: Connection, object_id: str, *, now: datetime) -> Screening | None:
    """Give an object that was never screened a row to be claimed; None when another process did."""
    made = Screening(object_id, DONE, 0, now, "", "", "", None)
    try:
        async with db.begin_nested():
            await db.execute(insert(_SCREENINGS).values(asdict(made)))
    except IntegrityError:
        return None
    return made


async def claim(db: Connection, screening: Screening, *, next_at: datetime) -> bool:
    """Take an object for one look; False when another process has it. It comes again at `next_at` unless finished."""
    mine = (_SCREENINGS.c.object == screening.object) & (_SCREENINGS.c.attempts == screening.attempts)
    values = {"attempts": screening.attempts + 1, "next_at": next_at}
    return (await db.execute(update(_SCREENINGS).where(mine).values(values))).rowcount == 1


async def finish(
    db: Connection, screening: Screening, found: Screened, *, now: datetime, next_at: datetime | None
) -> bool:
    """Note a verdict; it is asked again at `next_at`. False when somebody else took the object meanwhile."""
    mine = (_SCREENINGS.c.object == screening.object) & (_SCREENINGS.c.attempts == screening.attempts + 1)
    values = {
        "state": DONE if next_at is None else WAITING,
        "next_at": next_at or now,
        "verdict": found.verdict.value,
        "reason": found.reason[:200],
        "engine": found.engine[:200],
        "screened_at": now,
    }
    return (await db.execute(update(_SCREENINGS).where(mine).values(values))).rowcount == 1


async def count_waiting(db: Connection) -> int:
    """Return how many objects wait to be screened, those in quarantine for want of a verdict among them."""
    counted = select(func.count()).select_from(_SCREENINGS).where(_SCREENINGS.c.state == WAITING)
    return int((await db.execute(counted)).scalar_one())
