"""The table of mirrors, by which several processes share them, and all its SQL."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, insert, select, update

from evidence_store.database import METADATA, Connection, IntegrityError, UtcDateTime
from evidence_store.mirrors.model import MirrorState

_MIRRORS = Table(
    "mirrors",
    METADATA,
    Column("place", String(400), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("problem", Text, nullable=False),
)


async def list_mirrors(db: Connection) -> dict[str, MirrorState]:
    """Return how far every place is that checkpoints were ever sent to."""
    return {row.place: MirrorState(**row._asdict()) for row in await db.execute(select(_MIRRORS))}


async def claim_mirror(db: Connection, place: str, known: MirrorState | None, *, next_at: datetime) -> bool:
    """Take a mirror for one try; False when another process has it."""
    if known is None:
        values = {"place": place, "size": 0, "attempts": 1, "next_at": next_at, "sent_at": None, "problem": ""}
        try:
            async with db.begin_nested():
                await db.execute(insert(_MIRRORS).values(values))
        except IntegrityError:
            return False
        return True
    mine = (_MIRRORS.c.place == place) & (_MIRRORS.c.attempts == known.attempts)
    values = {"attempts": known.attempts + 1, "next_at": next_at}
    return (await db.execute(update(_MIRRORS).where(mine).values(values))).rowcount == 1


async def set_mirror_sent(db: Connection, place: str, *, size: int, now: datetime) -> None:
    """Note that a place has the checkpoint of this size."""
    values = {"size": size, "attempts": 0, "next_at": now, "sent_at": now, "problem": ""}
    await db.execute(update(_MIRRORS).where(_MIRRORS.c.place == place).values(values))


async def set_mirror_problem(db: Connection, place: str, *, problem: str, next_at: datetime) -> None:
    """Note why a place did not take a checkpoint, and when it is tried next."""
    values = {"problem": problem, "next_at": next_at}
    await db.execute(update(_MIRRORS).where(_MIRRORS.c.place == place).values(values))
