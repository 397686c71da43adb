"""Statements, and every version of their drafts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    text,
    update,
)

from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime
from video_server.statements.exhibits import Exhibit
from video_server.statements.model import Deed, Heading, State, Statement, states_for

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
