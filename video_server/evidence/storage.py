"""Requests for evidence, and the files that were sent for them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Row, String, Table, func, insert, literal, or_, select, update

from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime
from video_server.evidence.model import OPEN_ITEM, Alarm, Item, ItemState, Kind, Request, RequestState

requests = Table(
    "evidence_requests",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("incident", String(32), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("note", String(300), nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("requested_by", String(32), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
)

items = Table(
    "evidence_items",
    METADATA,
    Column("id", String(32), primary_key=True),  # the object's id in the evidence store
    Column("request_id", String(32), ForeignKey("evidence_requests.id"), nullable=False, index=True),
    Column("session_id", String(32), nullable=False),
    Column("state", String(20), nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("sent_bytes", BigInteger),
    Column("total_bytes", BigInteger),
    Column("told_at", UtcDateTime),
    Column("size_bytes", BigInteger),
    Column("sha256", String(64)),
    Column("media_type", String(80)),
    Column("client_digest", String(20)),
    Column("reported_at", UtcDateTime),
)

alarms = Table(
    "evidence_alarms",
    METADATA,
    Column("id", String(32), primary_key=True),  # of the store's event, which may come twice
    Column("object", String(32), nullable=False),
    Column("incident", String(64), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("seen_by", String(32)),
    Column("seen_at", UtcDateTime, index=True),
)


def _item(row: Row[Any]) -> Item:
    return Item(**{**row._mapping, "state": ItemState(row.state)})


async def _join(db: Connection, rows: Sequence[Row[Any]]) -> Sequence[Request]:
    mine = items.c.request_id.in_([row.id for row in rows])
    found = defaultdict(list)
    for row in await db.execute(select(items).where(mine).order_by(items.c.begun_at, items.c.id)):
        found[row.request_id].append(_item(row))
    return [
        Request(
            **{**row._mapping, "kind": Kind(row.kind), "state": RequestState(row.state)}, items=tuple(found[row.id])
        )
        for row in rows
    ]


async def insert_request(db: Connection, request: Request) -> None:
    values = {name: value for name, value in vars(request).items() if name != "items"}
    await db.execute(insert(requests).values(**values))


async def lock_request(db: Connection, request_id: str) -> None:
    """Make others who would change this request wait (on SQLite every writer waits anyway)."""
    await db.execute(select(requests.c.id).where(requests.c.id == request_id).with_for_update())


async def find_request(db: Connection, request_id: str) -> Request | None:
    rows = (await db.execute(select(requests).where(requests.c.id == request_id))).all()
    return (await _join(db, rows))[0] if rows else None


async def list_requests(db: Connection, appointment_id: str) -> Sequence[Request]:
    wanted = select(requests).where(requests.c.appointment_id == appointment_id)
    rows = (await db.execute(wanted.order_by(requests.c.requested_at, requests.c.id))).all()
    return await _join(db, rows)


async def count_requests(db: Connection, appointment_id: str) -> int:
    mine = select(func.count()).select_from(requests).where(requests.c.appointment_id == appointment_id)
    return int(await db.scalar(mine) or 0)


async def find_item(db: Connection, item_id: str) -> Item | None:
    row = (await db.execute(select(items).where(items.c.id == item_id))).first()
    return _item(row) if row else None


async def insert_item(db: Connection, item: Item) -> None:
    await db.execute(insert(items).values(**vars(item)))


async def set_request_state(db: Connection, request_id: str, state: RequestState) -> bool:
    """Move a request that was not withdrawn; False when it stands there already or was withdrawn."""
    moved = await db.execute(
        update(requests)
        .where(requests.c.id == request_id, requests.c.state.not_in([RequestState.WITHDRAWN, state]))
        .values(state=state)
    )
    return moved.rowcount == 1


async def tell_progress(
    db: Connection, item_id: str, *, sent_bytes: int, total_bytes: int, now: datetime, not_since: datetime
) -> bool:
    """Keep what the phone says; False when nothing changed, it told that a moment ago, or the file is no longer open.

    The first and the last word are always kept.
    """
    told = await db.execute(
        update(items)
        .where(
            items.c.id == item_id,
            items.c.state == ItemState.UPLOADING,
            or_(items.c.told_at.is_(None), items.c.told_at <= not_since, literal(sent_bytes == total_bytes)),
            or_(items.c.sent_bytes.is_(None), items.c.sent_bytes != sent_bytes),
        )
        .values(sent_bytes=sent_bytes, total_bytes=total_bytes, told_at=now)
    )
    return told.rowcount == 1


async def close_item(
    db: Connection, item_id: str, state: ItemState, *, of: Collection[ItemState] = OPEN_ITEM, **values: Any
) -> bool:
    """Write down how a file ended; False when that was written before."""
    closed = await db.execute(
        update(items).where(items.c.id == item_id, items.c.state.in_(of)).values(state=state, **values)
    )
    return closed.rowcount == 1


async def insert_alarm(db: Connection, alarm: Alarm) -> bool:
    """Keep an alarm; False when it was kept before."""
    try:
        async with db.begin_nested():
            await db.execute(insert(alarms).values(**vars(alarm)))
    except IntegrityError:
        return False
    return True


async def list_open_alarms(db: Connection, *, limit: int) -> Sequence[Alarm]:
    unseen = select(alarms).where(alarms.c.seen_at.is_(None)).order_by(alarms.c.at.desc(), alarms.c.id)
    return [Alarm(**row._mapping) for row in await db.execute(unseen.limit(limit))]


async def see_alarm(db: Connection, alarm_id: str, *, by: str, now: datetime) -> bool:
    """Note who has seen an alarm; False when somebody had, or there is none."""
    unseen = (alarms.c.id == alarm_id) & alarms.c.seen_at.is_(None)
    return (await db.execute(update(alarms).where(unseen).values(seen_by=by, seen_at=now))).rowcount == 1
