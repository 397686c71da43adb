"""The table of deliveries. A row is written in the transaction of what happened, so that nothing is told or lost."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)

from evidence_store.database import METADATA, Connection, UtcDateTime
from evidence_store.webhooks.model import Delivery, Standing

_OPEN = "delivered_at IS NULL AND dead_at IS NULL"
_DELIVERIES = Table(
    "webhook_deliveries",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("hook", String(40), primary_key=True),
    Column("subject", String(80), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime, index=True),
    Column("dead_at", UtcDateTime),
    Column("problem", Text, nullable=False),
    Column("seal", String(43), nullable=False, server_default=""),
    Index(
        "ix_webhook_deliveries_open", "hook", "subject", "sequence", sqlite_where=text(_OPEN),
        postgresql_where=text(_OPEN),
    ),
)  # fmt: skip
_NAMES = ("id", "hook", "subject", "sequence", "body", "attempts", "made_at", "next_at", "seal")


async def insert_deliveries(db: Connection, deliveries: Collection[Delivery]) -> None:
    """Queue news for each destination."""
    await db.execute(insert(_DELIVERIES), [asdict(delivery) | {"problem": ""} for delivery in deliveries])


async def list_due(db: Connection, hook: str, *, now: datetime, limit: int) -> Sequence[Delivery]:
    """Return what one destination may be told now, oldest first: of each subject only the first that is not taken."""
    table, earlier = _DELIVERIES, _DELIVERIES.alias()
    waits_for = exists().where(
        earlier.c.hook == table.c.hook, earlier.c.subject == table.c.subject, earlier.c.sequence < table.c.sequence,
        earlier.c.delivered_at.is_(None), earlier.c.dead_at.is_(None),
    )  # fmt: skip
    due = (table.c.hook == hook) & (table.c.next_at <= now) & _is_open(table) & ~waits_for
    chosen = select(*(table.c[name] for name in _NAMES)).where(due).order_by(table.c.sequence).limit(limit)
    return [Delivery(**row._asdict()) for row in await db.execute(chosen)]


async def list_waiting(db: Connection, *, after: tuple[str, str], limit: int) -> Sequence[Delivery]:
    """Return what was not taken, given up or not, by id and destination, behind those of `after`."""
    table = _DELIVERIES
    place = tuple_(table.c.id, table.c.hook)
    waiting = table.c.delivered_at.is_(None) & (place > tuple_(*map(literal, after)))
    chosen = select(*(table.c[name] for name in _NAMES)).where(waiting).order_by(table.c.id, table.c.hook).limit(limit)
    return [Delivery(**row._asdict()) for row in await db.execute(chosen)]


async def set_seal(db: Connection, delivery: Delivery, *, before: str) -> bool:
    """Keep the seal of a delivery in place of the one `before`; False when it has another by now."""
    same = _is(delivery) & (_DELIVERIES.c.seal == before)
    return (await db.execute(update(_DELIVERIES).where(same).values(seal=delivery.seal))).rowcount == 1


async def claim(db: Connection, delivery: Delivery, *, next_at: datetime) -> bool:
    """Take a delivery for one try; False when another process has it. The claim ends by itself at `next_at`."""
    mine = _is(delivery) & (_DELIVERIES.c.attempts == delivery.attempts) & _is_open(_DELIVERIES)
    values = {"attempts": delivery.attempts + 1, "next_at": next_at}
    return (await db.execute(update(_DELIVERIES).where(mine).values(values))).rowcount == 1


async def set_delivered(db: Connection, delivery: Delivery, *, now: datetime) -> None:
    """Note that it was taken."""
    await db.execute(update(_DELIVERIES).where(_is(delivery)).values(delivered_at=now, dead_at=None, problem=""))


async def set_failed(
    db: Connection, delivery: Delivery, *, problem: str, next_at: datetime, dead_at: datetime | None
) -> None:
    """Note why it was not taken, and when it is tried again; or that it is given up."""
    values = {"problem": problem, "next_at": next_at, "dead_at": dead_at}
    await db.execute(update(_DELIVERIES).where(_is(delivery), _is_open(_DELIVERIES)).values(values))


async def revive(db: Connection, *, now: datetime) -> int:
    """Put every delivery that was given up back among those that wait, as if made now; return how many."""
    values = {"dead_at": None, "attempts": 0, "next_at": now, "made_at": now}
    return (await db.execute(update(_DELIVERIES).where(_DELIVERIES.c.dead_at.is_not(None)).values(values))).rowcount


async def forget_delivered(db: Connection, *, before: datetime) -> None:
    """Remove what was taken long ago."""
    await db.execute(delete(_DELIVERIES).where(_DELIVERIES.c.delivered_at < before))


async def list_standings(db: Connection) -> dict[str, Standing]:
    """Return how it goes with every destination that something waits for, or was given up."""
    table = _DELIVERIES
    waiting = (
        select(table.c.hook, func.count(), func.min(table.c.made_at), func.max(table.c.problem))
        .where(_is_open(table))
        .group_by(table.c.hook)
    )
    dead = select(table.c.hook, func.count(), func.max(table.c.problem)).where(table.c.dead_at.is_not(None))
    found = {
        hook: Standing(waiting=count, oldest=oldest, problem=problem)
        for hook, count, oldest, problem in await db.execute(waiting)
    }
    for hook, count, problem in await db.execute(dead.group_by(table.c.hook)):
        known = found.get(hook, Standing())
        found[hook] = Standing(known.waiting, count, known.oldest, known.problem or problem)
    return found


def _is(delivery: Delivery) -> Any:
    return (_DELIVERIES.c.id == delivery.id) & (_DELIVERIES.c.hook == delivery.hook)


def _is_open(table: Any) -> Any:
    return table.c.delivered_at.is_(None) & table.c.dead_at.is_(None)
