"""Gaps: when somebody in the call was not heard, and why."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Column, Index, Integer, String, Table, func, insert, or_, select, text, update

from video_server.calls.model import Gap, Participant
from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

gaps = Table(
    "gaps",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("participant_id", String(32), nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("why", String(20), nullable=False),
    Index(
        "uq_gaps_open",
        "participant_id",
        "why",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)


async def open_gap(db: Connection, person: Participant, *, why: str, now: datetime) -> bool:
    """Begin a gap unless one is open for the same reason."""
    try:
        async with db.begin_nested():
            await db.execute(
                insert(gaps).values(
                    appointment_id=person.appointment_id, participant_id=person.id, began_at=now, why=why
                )
            )
    except IntegrityError:
        return False
    return True


async def close_gap(db: Connection, participant_id: str, *, now: datetime, why: Collection[str] | None = None) -> bool:
    """End a participant's open gaps: all, or those of some reasons."""
    where = [gaps.c.participant_id == participant_id, gaps.c.ended_at.is_(None)]
    if why is not None:
        where.append(gaps.c.why.in_(why))
    closed = await db.execute(update(gaps).where(*where).values(ended_at=now))
    return closed.rowcount > 0


async def close_all(db: Connection, appointment_id: str, *, now: datetime) -> None:
    """End every open gap of a room."""
    await db.execute(
        update(gaps).where(gaps.c.appointment_id == appointment_id, gaps.c.ended_at.is_(None)).values(ended_at=now)
    )


async def find_gap_since(db: Connection, participant_id: str, *, why: Collection[str], since: datetime) -> int | None:
    """Return the newest gap of these reasons that had not ended by `since`."""
    found: int | None = await db.scalar(
        select(gaps.c.id)
        .where(
            gaps.c.participant_id == participant_id,
            gaps.c.why.in_(why),
            or_(gaps.c.ended_at.is_(None), gaps.c.ended_at >= since),
        )
        .order_by(gaps.c.id.desc())
        .limit(1)
    )
    return found


async def explain_gap(db: Connection, gap_id: int, *, why: str) -> bool:
    """Give a gap that was "silent" its reason; False when it has another, or one of that reason is open already."""
    try:
        async with db.begin_nested():
            told = await db.execute(update(gaps).where(gaps.c.id == gap_id, gaps.c.why == "silent").values(why=why))
    except IntegrityError:
        return False
    return told.rowcount == 1


async def insert_gap(db: Connection, person: Participant, gap: Gap) -> None:
    """Record a gap that is over."""
    await db.execute(insert(gaps).values(appointment_id=person.appointment_id, **vars(gap)))


async def count_gaps(db: Connection, participant_id: str) -> int:
    return await db.scalar(select(func.count()).where(gaps.c.participant_id == participant_id)) or 0


async def list_gaps(db: Connection, appointment_id: str) -> Sequence[Gap]:
    rows = await db.execute(select(gaps).where(gaps.c.appointment_id == appointment_id).order_by(gaps.c.id))
    return [Gap(row.participant_id, row.began_at, row.ended_at, row.why) for row in rows]
