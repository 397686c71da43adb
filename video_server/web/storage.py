"""Session rows and counters of tries."""

from datetime import datetime

from sqlalchemy import Column, Integer, String, Table, case, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from video_server.core.database import METADATA, Connection, UtcDateTime
from video_server.web.model import Session

sessions = Table(
    "sessions",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("kind", String(10), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("ended_why", String(30)),
)

tries = Table(
    "tries",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("window_at", UtcDateTime, nullable=False),
    Column("count", Integer, nullable=False),
)


async def insert_session(db: Connection, session: Session, *, secret_sha256: str) -> None:
    await db.execute(
        insert(sessions).values(
            id=session.id,
            secret_sha256=secret_sha256,
            kind=session.kind,
            subject=session.subject,
            created_at=session.created_at,
            seen_at=session.created_at,
            expires_at=session.expires_at,
        )
    )


async def find_session(db: Connection, secret_sha256: str) -> Session | None:
    row = (await db.execute(select(sessions).where(sessions.c.secret_sha256 == secret_sha256))).first()
    if row is None:
        return None
    return Session(row.id, row.kind, row.subject, row.created_at, row.seen_at, row.expires_at, row.ended_at)


async def find_session_by_id(db: Connection, session_id: str) -> Session | None:
    row = (await db.execute(select(sessions).where(sessions.c.id == session_id))).first()
    if row is None:
        return None
    return Session(row.id, row.kind, row.subject, row.created_at, row.seen_at, row.expires_at, row.ended_at)


async def touch_session(db: Connection, session_id: str, *, now: datetime, expires_at: datetime) -> None:
    await db.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=now, expires_at=expires_at))


async def end_session(db: Connection, session_id: str, *, why: str, now: datetime) -> None:
    await db.execute(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now, ended_why=why)
    )


async def end_sessions_of(
    db: Connection, kind: str, subject: str, *, why: str, now: datetime, but: str | None = None
) -> int:
    """End every open session of a subject (except the one with id `but`); return how many."""
    ending = (
        update(sessions)
        .where(sessions.c.kind == kind, sessions.c.subject == subject, sessions.c.ended_at.is_(None))
        .values(ended_at=now, ended_why=why)
    )
    if but is not None:
        ending = ending.where(sessions.c.id != but)
    return (await db.execute(ending)).rowcount


async def delete_sessions_before(db: Connection, before: datetime) -> int:
    return (await db.execute(delete(sessions).where(sessions.c.expires_at < before))).rowcount


async def delete_tries_before(db: Connection, before: datetime) -> int:
    return (await db.execute(delete(tries).where(tries.c.window_at < before))).rowcount


async def read_tries(db: Connection, name: str, *, since: datetime) -> int:
    """Return the counter of `name`, 0 when its window began before `since`."""
    return int(await db.scalar(select(tries.c.count).where(tries.c.name == name, tries.c.window_at > since)) or 0)


async def count_failure(db: Connection, name: str, *, now: datetime, since: datetime, prolong: bool) -> int:
    """Add one to the counter of `name` and return it; one whose window began before `since` starts again at 1.

    prolong  the window begins anew with this failure, instead of with the first
    """
    make = postgres_insert if db.dialect.name == "postgresql" else sqlite_insert
    live = tries.c.window_at > since
    counted = make(tries).values(name=name, window_at=now, count=1)
    counted = counted.on_conflict_do_update(
        index_elements=[tries.c.name],
        set_={
            "window_at": now if prolong else case((live, tries.c.window_at), else_=now),
            "count": case((live, tries.c.count + 1), else_=1),
        },
    )
    return int((await db.execute(counted.returning(tries.c.count))).scalar_one())


async def take_back_failure(db: Connection, name: str) -> None:
    await db.execute(update(tries).where(tries.c.name == name).values(count=tries.c.count - 1))


async def delete_tries(db: Connection, prefix: str) -> None:
    """Forget the counters whose name begins with `prefix`, which holds no wildcard."""
    await db.execute(delete(tries).where(tries.c.name.startswith(prefix)))


async def count_try(db: Connection, name: str, *, window_at: datetime) -> int:
    """Add one to the counter of `name` in this window and return the new count; a new window starts at 1."""
    make = postgres_insert if db.dialect.name == "postgresql" else sqlite_insert
    fresh = make(tries).values(name=name, window_at=window_at, count=1)
    kept = fresh.on_conflict_do_update(
        index_elements=[tries.c.name],
        set_={"window_at": window_at, "count": tries.c.count + 1},
        where=tries.c.window_at == window_at,
    )
    changed = (await db.execute(kept)).rowcount
    if not changed:
        await db.execute(update(tries).where(tries.c.name == name).values(window_at=window_at, count=1))
    return int(await db.scalar(select(tries.c.count).where(tries.c.name == name)) or 0)
