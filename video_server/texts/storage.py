"""The outbox, and the demo's phone screen."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Index,
    Integer,
    Row,
    String,
    Table,
    and_,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import Text as LongText

from video_server.core.database import METADATA, Connection, UtcDateTime
from video_server.texts.model import Claim, State, Text

_NOT_VOID = text("state <> 'void'")

texts = Table(
    "texts",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("subject", String(80), nullable=False, index=True),
    Column("person_id", String(32), nullable=False),
    Column("link_id", String(32)),
    Column("values", JSON, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", UtcDateTime, nullable=False),
    Column("first_tried_at", UtcDateTime),
    Column("bodies_sha256", String(660), nullable=False),  # of every body that was handed over, space between
    Column("provider_id", String(64), unique=True),
    Column("claimed_by", String(32)),
    Column("claimed_until", UtcDateTime),
    Column("unwanted_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("alerted_at", UtcDateTime),
    Column("fault", String(40)),
    Column("dedupe_sha256", String(64), nullable=False),
    Index("ix_texts_work", "state", "next_try_at"),
    # A withdrawn text may be queued again (moved away and back); any other twin is the same text queued twice.
    Index("uq_texts_dedupe_sha256", "dedupe_sha256", unique=True, sqlite_where=_NOT_VOID, postgresql_where=_NOT_VOID),
)

screen_texts = Table(
    "screen_texts",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("to", String(20), nullable=False),
    Column("body", LongText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)


def _to_text(row: Row[Any]) -> Text:
    return Text(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        person_id=row.person_id,
        link_id=row.link_id,
        values=row._mapping["values"],
        due_at=row.due_at,
        expires_at=row.expires_at,
        state=State(row.state),
        attempts=row.attempts,
        sent_at=row.sent_at,
        settled_at=row.settled_at,
        fault=row.fault,
    )


async def insert_text(db: Connection, queued: Text, *, dedupe_sha256: str) -> None:
    """Add a text; raises IntegrityError when the same one is queued already (the transaction survives)."""
    async with db.begin_nested():
        await db.execute(
            insert(texts).values(
                id=queued.id,
                kind=queued.kind,
                subject=queued.subject,
                person_id=queued.person_id,
                link_id=queued.link_id,
                values=dict(queued.values),
                due_at=queued.due_at,
                expires_at=queued.expires_at,
                state=queued.state,
                attempts=0,
                next_try_at=queued.due_at,
                bodies_sha256="",
                dedupe_sha256=dedupe_sha256,
            )
        )


async def list_for(db: Connection, subject: str) -> Sequence[Text]:
    rows = await db.execute(select(texts).where(texts.c.subject == subject).order_by(texts.c.due_at, texts.c.id))
    return [_to_text(row) for row in rows]


async def void(db: Connection, subject: str, kinds: Collection[str] | None, *, now: datetime) -> int:
    """Withdraw what no worker holds, and see to it that what one holds is not tried again; return the former."""
    mine: ColumnElement[bool] = texts.c.subject == subject
    if kinds is not None:
        mine = and_(mine, texts.c.kind.in_(list(kinds)))
    await db.execute(
        update(texts)
        .where(mine, texts.c.unwanted_at.is_(None), _held_or_tried())
        .values(unwanted_at=now, next_try_at=now)
    )
    withdrawn = await db.execute(
        update(texts)
        .where(mine, texts.c.state == State.DUE, texts.c.attempts == 0)
        .values(state=State.VOID, settled_at=now)
    )
    return withdrawn.rowcount


def _held_or_tried() -> ColumnElement[bool]:
    """Rows whose message may be at the provider already: only a look there can tell."""
    return or_(texts.c.state == State.SENDING, and_(texts.c.state == State.DUE, texts.c.attempts > 0))


def _ready(now: datetime) -> ColumnElement[bool]:
    """Rows that are due, and rows whose worker went silent."""
    return or_(
        and_(texts.c.state == State.DUE, texts.c.next_try_at <= now),
        and_(texts.c.state == State.SENDING, texts.c.claimed_until <= now),
    )


async def has_ready(db: Connection, *, now: datetime) -> bool:
    return (await db.scalar(select(texts.c.id).where(_ready(now)).limit(1))) is not None


async def claim_next(db: Connection, *, claim_id: str, now: datetime, until: datetime) -> Claim | None:
    """Take the longest-waiting ready text for one worker; None when there is none."""
    row = (
        await db.execute(
            select(texts)
            .where(_ready(now))
            .order_by(texts.c.due_at, texts.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).first()
    if row is None:
        return None
    first_tried_at = row.first_tried_at or now
    await db.execute(
        update(texts)
        .where(texts.c.id == row.id)
        .values(
            state=State.SENDING,
            attempts=row.attempts + 1,
            claimed_by=claim_id,
            claimed_until=until,
            first_tried_at=first_tried_at,
        )
    )
    return Claim(
        id=claim_id,
        text=_to_text(row),
        until=until,
        first_tried_at=first_tried_at,
        again=row.attempts > 0,
        unwanted=row.unwanted_at is not None,
        bodies_sha256=frozenset(row.bodies_sha256.split()),
    )
