"""Statements, every version of their drafts, what the witness confirmed and signed, and what is to be sealed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime
from video_server.statements.certificates import Interpretation, Reading, SignedAt
from video_server.statements.exhibits import Exhibit
from video_server.statements.model import Answer, Deed, Heading, State, Statement, states_for

_OPEN = text("state IN ('draft', 'read')")

statements = Table(
    "statements",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("text_version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("name", String(120), nullable=False),
    Column("age", Integer),
    Column("reader_name", String(120), nullable=False),
    Column("interpreter_name", String(120), nullable=False, server_default=""),
    Column("spoken", String(10), nullable=False, server_default=""),
    Column("original", Text, nullable=False, server_default=""),
    Column("original_version", Integer, nullable=False, server_default="0"),
    Column("exhibits", JSON, nullable=False),
    Column("language", String(2), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("taken_by", String(32), nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("saved_at", UtcDateTime),
    Column("offered_at", UtcDateTime),
    Column("signed_at", UtcDateTime),
    Column("sealed_at", UtcDateTime),
    UniqueConstraint("appointment_id", "number"),
    Index(  # one statement at a time is being written
        "uq_statements_open", "appointment_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
    ),
)

versions = Table(  # appended, never edited (CPIA Code 5.4)
    "statement_versions",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("name", String(120), nullable=False),
    Column("age", Integer),
    Column("reader_name", String(120), nullable=False),
    Column("interpreter_name", String(120), nullable=False, server_default=""),
    Column("spoken", String(10), nullable=False, server_default=""),
    Column("original", Text, nullable=False, server_default=""),
    Column("exhibits", JSON, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", String(32), nullable=False),
)

confirmations = Table(
    "statement_confirmations",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("paragraph", String(64), primary_key=True),
    Column("answer", String(10), nullable=False),
    Column("answered_at", UtcDateTime, nullable=False),
    Column("session_id", String(32), nullable=False),
)

readings = Table(  # appended: a certificate holds for one text only
    "statement_readings",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("shown_sha256", String(64), primary_key=True),
    Column("typed", String(120), nullable=False),
    Column("declared_at", UtcDateTime, nullable=False),
    Column("declared_by", String(32), nullable=False),
)

interpretations = Table(  # appended: a declaration holds for one text in both languages only
    "statement_interpretations",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("shown_sha256", String(64), primary_key=True),
    Column("typed", String(120), nullable=False),
    Column("declared_at", UtcDateTime, nullable=False),
    Column("signed_where", String(10), nullable=False),
    Column("declared_by", String(32), nullable=False),
    Column("device", String(80), nullable=False),
)

signatures = Table(  # the primary key makes it one
    "statement_signatures",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("shown", Text, nullable=False),
    Column("shown_sha256", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("strokes", JSON, nullable=False),
    Column("typed", String(120), nullable=False),
    Column("signed_at", UtcDateTime, nullable=False),
    Column("session_id", String(32), nullable=False),
    Column("participant_id", String(32), nullable=False),
    Column("device", String(80), nullable=False),
    Column("word", String(10), nullable=False),
)

seals = Table(
    "statement_seals",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("object_id", String(32), nullable=False, unique=True),
    Column("incident", String(32), nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", UtcDateTime),
    Column("claim_id", String(32)),
    Column("claimed_until", UtcDateTime),
    Column("fault", String(40)),
    Column("sealed_at", UtcDateTime),
    Index("ix_statement_seals_due", "next_try_at"),
)

back_pages = Table(  # never served with the statement
    "statement_back_pages",
    METADATA,
    Column("statement_id", String(32), ForeignKey("statements.id"), primary_key=True),
    Column("answers", JSON, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", String(32), nullable=False),
)


@dataclass(frozen=True)
class Seal:
    """A signed PDF on its way to the evidence store."""

    statement_id: str
    object_id: str
    incident: str
    pdf: bytes
    sha256: str
    made_at: datetime
    attempts: int
    claim_id: str


_HEADING = ("name", "age", "reader_name", "interpreter_name", "spoken")


def _statement(row: Row[Any]) -> Statement:
    values = dict(row._mapping)
    heading = Heading(**{name: values.pop(name) for name in _HEADING})
    exhibits = tuple(Exhibit(mark, description) for mark, description in values.pop("exhibits"))
    return Statement(**{**values, "state": State(row.state), "heading": heading, "exhibits": exhibits})


async def insert_statement(db: Connection, statement: Statement) -> bool:
    """Add a statement; False when one is open already or the number was just taken."""
    values = {**vars(statement), **vars(statement.heading)}
    del values["heading"]
    values["exhibits"] = [[one.mark, one.description] for one in statement.exhibits]
    try:
        async with db.begin_nested():
            await db.execute(insert(statements).values(**values))
    except IntegrityError:
        return False
    return True


async def find_statement(db: Connection, statement_id: str) -> Statement | None:
    row = (await db.execute(select(statements).where(statements.c.id == statement_id))).first()
    return _statement(row) if row else None


async def lock(db: Connection, statement_id: str) -> None:
    """Make others who would change this statement wait (on SQLite every writer waits anyway)."""
    await db.execute(select(statements.c.id).where(statements.c.id == statement_id).with_for_update())


async def list_statements(db: Connection, appointment_id: str) -> Sequence[Statement]:
    found = select(statements).where(statements.c.appointment_id == appointment_id).order_by(statements.c.number)
    return [_statement(row) for row in await db.execute(found)]


async def next_number(db: Connection, appointment_id: str) -> int:
    highest = select(func.max(statements.c.number)).where(statements.c.appointment_id == appointment_id)
    return (await db.scalar(highest) or 0) + 1


async def save_text(
    db: Connection, statement_id: str, *, content: str, text_version: int, by: str, now: datetime, which: str = "text"
) -> bool:
    """Write a text over its version; False when another stands there or nothing may be written any more.

    which   "text", or "original" in the witness's language
    by      staff id; an interpreter's participant id
    """
    held = statements.c[f"{which}_version"]
    saved = await db.execute(
        update(statements)
        .where(
            statements.c.id == statement_id,
            held == text_version,
            statements.c.state.in_(states_for(Deed.EDIT)),
        )
        .values(
            {
                which: content,
                held.name: text_version + 1,
                "version": statements.c.version + 1,
                "saved_at": now,
            }
        )
    )
    if saved.rowcount != 1:
        return False
    await _keep_version(db, statement_id, by=by, now=now)
    return True


async def change(
    db: Connection,
    statement_id: str,
    *,
    version: int,
    by: str,
    now: datetime,
    heading: Heading | None = None,
    exhibits: Sequence[Exhibit] | None = None,
) -> bool:
    """Write heading or exhibits over `version`; False when another stands there or nothing may be written any more."""
    values: dict[str, Any] = {"version": version + 1, "saved_at": now}
    if heading is not None:
        values |= vars(heading)
    if exhibits is not None:
        values["exhibits"] = [[one.mark, one.description] for one in exhibits]
    changed = await db.execute(
        update(statements)
        .where(
            statements.c.id == statement_id,
            statements.c.version == version,
            statements.c.state.in_(states_for(Deed.EDIT)),
        )
        .values(**values)
    )
    if changed.rowcount != 1:
        return False
    await _keep_version(db, statement_id, by=by, now=now)
    return True


async def _keep_version(db: Connection, statement_id: str, *, by: str, now: datetime) -> None:
    kept = ("version", "text", "original", *_HEADING, "exhibits")
    row = (
        await db.execute(select(*(statements.c[name] for name in kept)).where(statements.c.id == statement_id))
    ).one()
    await db.execute(
        insert(versions).values(statement_id=statement_id, **dict(row._mapping), saved_at=now, saved_by=by)
    )


async def list_versions(db: Connection, statement_id: str) -> Sequence[tuple[int, str, datetime, str]]:
    """Return version, text, when and by whom, oldest first."""
    found = select(versions).where(versions.c.statement_id == statement_id).order_by(versions.c.version)
    return [(row.version, row.text, row.saved_at, row.saved_by) for row in await db.execute(found)]


async def change_state(db: Connection, statement_id: str, deed: Deed, *, to: State, **values: Any) -> bool:
    """Move a statement that stands where this deed may happen; `version` among the values is a condition."""
    where = [statements.c.id == statement_id, statements.c.state.in_(states_for(deed))]
    version = values.pop("version", None)
    if version is not None:
        where.append(statements.c.version == version)
    changed = await db.execute(update(statements).where(*where).values(state=to, **values))
    return changed.rowcount == 1


async def set_live(db: Connection, statement_id: str, *, live: bool) -> bool:
    changed = await db.execute(
        update(statements)
        .where(
            statements.c.id == statement_id, statements.c.live != live, statements.c.state.in_(states_for(Deed.EDIT))
        )
        .values(live=live)
    )
    return changed.rowcount == 1


async def set_language(db: Connection, statement_id: str, *, language: str, version: int) -> bool:
    changed = await db.execute(
        update(statements)
        .where(
            statements.c.id == statement_id,
            statements.c.version == version,
            statements.c.state.in_(states_for(Deed.EDIT)),
        )
        .values(language=language, version=version + 1)
    )
    return changed.rowcount == 1


async def save_answer(
    db: Connection, statement_id: str, paragraph: str, answer: Answer, *, session_id: str, now: datetime
) -> bool:
    """Keep the newest answer to a paragraph; False when this session has given it already."""
    values = {"answer": answer, "answered_at": now, "session_id": session_id}
    mine = (confirmations.c.statement_id == statement_id, confirmations.c.paragraph == paragraph)
    row = (await db.execute(select(confirmations.c.answer, confirmations.c.session_id).where(*mine))).first()
    if row is not None and (row.answer, row.session_id) == (answer, session_id):
        return False
    try:
        async with db.begin_nested():
            await db.execute(insert(confirmations).values(statement_id=statement_id, paragraph=paragraph, **values))
    except IntegrityError:
        await db.execute(update(confirmations).where(*mine).values(**values))
    return True


async def list_answers(db: Connection, statement_id: str, *, session_id: str | None) -> Mapping[str, Answer]:
    """Return the answers by paragraph, those of one session when it is named."""
    found = select(confirmations.c.paragraph, confirmations.c.answer).where(
        confirmations.c.statement_id == statement_id
    )
    if session_id is not None:
        found = found.where(confirmations.c.session_id == session_id)
    return {row.paragraph: Answer(row.answer) for row in await db.execute(found)}


async def insert_reading(
    db: Connection, statement_id: str, *, shown_sha256: str, typed: str, by: str, now: datetime
) -> bool:
    """Keep the reader's certificate; False when there is one for this text already."""
    values = {"typed": typed, "declared_at": now, "declared_by": by}
    try:
        async with db.begin_nested():
            await db.execute(insert(readings).values(statement_id=statement_id, shown_sha256=shown_sha256, **values))
    except IntegrityError:
        return False
    return True


async def list_readings(db: Connection, statement_id: str) -> Mapping[str, Reading]:
    """Return the reader's certificates by the digest of the text they hold for."""
    found = await db.execute(select(readings).where(readings.c.statement_id == statement_id))
    return {row.shown_sha256: Reading(row.typed, row.declared_at, row.declared_by) for row in found}


async def insert_interpretation(db: Connection, statement_id: str, given: Interpretation, *, shown_sha256: str) -> bool:
    """Keep the interpreter's declaration; False when there is one for this text already."""
    values = {"typed": given.typed, "declared_at": given.declared_at, "signed_where": given.where}
    values |= {"declared_by": given.declared_by, "device": given.device}
    try:
        async with db.begin_nested():
            await db.execute(
                insert(interpretations).values(statement_id=statement_id, shown_sha256=shown_sha256, **values)
            )
    except IntegrityError:
        return False
    return True


async def list_interpretations(db: Connection, statement_id: str) -> Mapping[str, Interpretation]:
    """Return the interpreter's declarations by the digest of the text they hold for."""
    found = await db.execute(select(interpretations).where(interpretations.c.statement_id == statement_id))
    return {
        row.shown_sha256: Interpretation(
            row.typed, row.declared_at, SignedAt(row.signed_where), row.declared_by, row.device
        )
        for row in found
    }


async def insert_signature(db: Connection, values: Mapping[str, Any]) -> None:
    await db.execute(insert(signatures).values(**values))


async def find_signed_digest(db: Connection, statement_id: str) -> str | None:
    found: str | None = await db.scalar(
        select(signatures.c.shown_sha256).where(signatures.c.statement_id == statement_id)
    )
    return found


async def insert_seal(db: Connection, values: Mapping[str, Any]) -> None:
    await db.execute(insert(seals).values(attempts=0, **values))


async def has_due(db: Connection, *, now: datetime) -> bool:
    return await db.scalar(select(seals.c.statement_id).where(*_due(now)).limit(1)) is not None


async def claim_next(db: Connection, *, claim_id: str, now: datetime, until: datetime) -> Seal | None:
    """Take the longest waiting PDF for yourself until `until`; on PostgreSQL others step over it meanwhile."""
    oldest = select(seals.c.statement_id).where(*_due(now)).order_by(seals.c.next_try_at).limit(1)
    if db.dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)
    statement_id = await db.scalar(oldest)
    if statement_id is None:
        return None
    taken = await db.execute(
        update(seals)
        .where(seals.c.statement_id == statement_id, *_due(now))
        .values(claim_id=claim_id, claimed_until=until, attempts=seals.c.attempts + 1)
    )
    if taken.rowcount != 1:
        return None
    row = (await db.execute(select(seals).where(seals.c.statement_id == statement_id))).one()
    names = ("statement_id", "object_id", "incident", "pdf", "sha256", "made_at", "attempts", "claim_id")
    return Seal(**{name: row._mapping[name] for name in names})


def _due(now: datetime) -> Collection[Any]:
    return (
        seals.c.sealed_at.is_(None),
        seals.c.next_try_at <= now,
        or_(seals.c.claimed_until.is_(None), seals.c.claimed_until < now),
    )


async def mark_sealed(db: Connection, statement_id: str, *, now: datetime) -> bool:
    """Note the store's acknowledgement; False when it was noted before."""
    done = await db.execute(
        update(seals)
        .where(seals.c.statement_id == statement_id, seals.c.sealed_at.is_(None))
        .values(sealed_at=now, claim_id=None, claimed_until=None, next_try_at=None, fault=None)
    )
    return done.rowcount == 1


async def put_back(db: Connection, seal: Seal, *, next_try_at: datetime, fault: str) -> None:
    await db.execute(
        update(seals)
        .where(seals.c.statement_id == seal.statement_id, seals.c.claim_id == seal.claim_id)
        .values(claim_id=None, claimed_until=None, next_try_at=next_try_at, fault=fault)
    )


async def find_pdf(db: Connection, statement_id: str) -> bytes | None:
    found: bytes | None = await db.scalar(select(seals.c.pdf).where(seals.c.statement_id == statement_id))
    return found


async def save_back_page(
    db: Connection, statement_id: str, *, answers: Mapping[str, Any], by: str, now: datetime
) -> None:
    values = {"answers": dict(answers), "saved_at": now, "saved_by": by}
    try:
        async with db.begin_nested():
            await db.execute(insert(back_pages).values(statement_id=statement_id, **values))
    except IntegrityError:
        await db.execute(update(back_pages).where(back_pages.c.statement_id == statement_id).values(**values))


async def find_back_page(db: Connection, statement_id: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = await db.scalar(
        select(back_pages.c.answers).where(back_pages.c.statement_id == statement_id)
    )
    return found
