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
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import Text as LongText

from video_server.core.database import METADATA, Connection, UtcDateTime
from video_server.texts.model import Claim, ScreenText, State, Text

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


async def void(
    db: Connection, subject: str, kinds: Collection[str] | None, *, person_id: str | None, now: datetime
) -> int:
    """Withdraw what no worker holds, and see to it that what one holds is not tried again; return the former."""
    mine: ColumnElement[bool] = texts.c.subject == subject
    if kinds is not None:
        mine = and_(mine, texts.c.kind.in_(list(kinds)))
    if person_id is not None:
        mine = and_(mine, texts.c.person_id == person_id)
    withdrawn = await db.execute(
        update(texts)
        .where(mine, texts.c.state == State.DUE, texts.c.attempts == 0)
        .values(state=State.VOID, settled_at=now)
    )
    # Second, so that PostgreSQL sees what a worker claimed while the statement above waited for it.
    await db.execute(
        update(texts)
        .where(mine, texts.c.unwanted_at.is_(None), _held_or_tried())
        .values(unwanted_at=now, next_try_at=now)
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
    await db.execute(
        update(texts).where(texts.c.id == row.id).values(state=State.SENDING, claimed_by=claim_id, claimed_until=until)
    )
    return _to_claim(row, claim_id, until)


def _to_claim(row: Row[Any], claim_id: str, until: datetime) -> Claim:
    return Claim(
        id=claim_id,
        text=_to_text(row),
        until=until,
        first_tried_at=row.first_tried_at,
        unwanted=row.unwanted_at is not None,
        bodies_sha256=frozenset(row.bodies_sha256.split()),
    )


async def find_held(db: Connection, claim: Claim) -> Claim | None:
    """Read a claimed text again; None when the claim was lost or news has settled the text."""
    row = (await db.execute(select(texts).where(_held_by(claim)))).first()
    return _to_claim(row, claim.id, claim.until) if row else None


def _held_by(claim: Claim) -> ColumnElement[bool]:
    return and_(texts.c.id == claim.text.id, texts.c.claimed_by == claim.id, texts.c.state == State.SENDING)


async def record_try(db: Connection, claim: Claim, *, body_sha256: str, now: datetime) -> None:
    """Write down, before it happens, that a body is handed over."""
    await db.execute(
        update(texts)
        .where(_held_by(claim))
        .values(
            attempts=texts.c.attempts + 1,
            first_tried_at=claim.first_tried_at or now,
            bodies_sha256=" ".join(sorted(claim.bodies_sha256 | {body_sha256})),
        )
    )


async def put_back(
    db: Connection, claim: Claim, *, next_try_at: datetime, fault: str | None, attempts: int | None = None
) -> bool:
    """Let go of a text until `next_try_at`."""
    count = {} if attempts is None else {"attempts": attempts}
    return await _let_go(db, claim, state=State.DUE, next_try_at=next_try_at, fault=fault, **count)


async def end(db: Connection, claim: Claim, state: State, *, fault: str, now: datetime) -> bool:
    """Let go of a text for good: failed or void."""
    return await _let_go(db, claim, state=state, fault=fault, settled_at=now)


async def _let_go(db: Connection, claim: Claim, **values: object) -> bool:
    done = await db.execute(update(texts).where(_held_by(claim)).values(claimed_by=None, claimed_until=None, **values))
    return done.rowcount == 1


_MAY_BE_OUT = and_(texts.c.attempts > 0, texts.c.state.in_([State.SENDING, State.DUE, State.VOID]))
_BEFORE: dict[State, ColumnElement[bool]] = {
    State.SENT: _MAY_BE_OUT,
    State.DELIVERED: or_(_MAY_BE_OUT, texts.c.state.in_([State.SENT, State.FAILED])),
    State.FAILED: or_(_MAY_BE_OUT, texts.c.state == State.SENT),
}
"""From where news may take a text to a state. News comes in any order: the later state wins, whatever comes last."""


async def record_progress(
    db: Connection, progress: State, *, text_id: str | None, provider_id: str, fault: str | None, now: datetime
) -> Text | None:
    """Take a text on to a state that the provider reports; None when that changes nothing.

    The text is found by the provider's id, or by its own while the provider's is not known yet.
    """
    its_own = texts.c.provider_id == provider_id
    if text_id is not None:
        its_own = or_(its_own, and_(texts.c.id == text_id, texts.c.provider_id.is_(None)))
    known_first = texts.c.provider_id.is_(None)
    found: str | None = await db.scalar(select(texts.c.id).where(its_own, _BEFORE[progress]).order_by(known_first))
    if found is None:
        return None
    changed = await db.execute(
        update(texts)
        .where(texts.c.id == found, _BEFORE[progress])
        .values(
            state=progress,
            provider_id=provider_id,
            sent_at=func.coalesce(texts.c.sent_at, now),
            settled_at=None if progress is State.SENT else now,
            fault=fault,
            claimed_by=None,
            claimed_until=None,
        )
    )
    if changed.rowcount != 1:
        return None
    return _to_text((await db.execute(select(texts).where(texts.c.id == found))).one())


async def list_owned(db: Connection, provider_ids: Collection[str]) -> frozenset[str]:
    """Return those of the provider's ids that belong to a text already."""
    rows = await db.scalars(select(texts.c.provider_id).where(texts.c.provider_id.in_(list(provider_ids))))
    return frozenset(row for row in rows if row is not None)


async def list_unconfirmed(db: Connection, *, sent_before: datetime, limit: int) -> Sequence[tuple[Text, str]]:
    """Return texts that the provider has had for long without news, with the provider's ids; told ones left out."""
    rows = await db.execute(
        select(texts)
        .where(texts.c.state == State.SENT, texts.c.sent_at <= sent_before, texts.c.alerted_at.is_(None))
        .order_by(texts.c.sent_at)
        .limit(limit)
    )
    return [(_to_text(row), row.provider_id) for row in rows]


async def mark_alerted(db: Connection, text_id: str, *, now: datetime) -> bool:
    """Note that a person is told of a text without news; False when another process did, or news has come."""
    done = await db.execute(
        update(texts)
        .where(texts.c.id == text_id, texts.c.state == State.SENT, texts.c.alerted_at.is_(None))
        .values(alerted_at=now)
    )
    return done.rowcount == 1


async def insert_screen_text(db: Connection, message_id: str, *, to: str, body: str, now: datetime) -> None:
    await db.execute(insert(screen_texts).values(id=message_id, to=to, body=body, at=now))


async def list_screen_texts(
    db: Connection, *, to: str | None = None, since: datetime | None = None, limit: int = 500
) -> Sequence[ScreenText]:
    """Return the newest messages of the demo's phone, oldest of them first."""
    chosen = select(screen_texts)
    if to is not None:
        chosen = chosen.where(screen_texts.c.to == to)
    if since is not None:
        chosen = chosen.where(screen_texts.c.at >= since)
    rows = (await db.execute(chosen.order_by(screen_texts.c.at.desc(), screen_texts.c.id).limit(limit))).all()
    return [ScreenText(row.id, row.to, row.body, row.at) for row in reversed(rows)]
