"""The tasks table."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, Index, String, Table, insert, select, text, update

from video_server.core.database import METADATA, Connection, UtcDateTime
from video_server.tasks.model import Task

tasks = Table(
    "tasks",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("note", String(200), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
    Column("done_by", String(32)),
    Index(
        "uq_tasks_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("done_at IS NULL"),
        postgresql_where=text("done_at IS NULL"),
    ),
)


async def find_open(db: Connection, kind: str, subject: str) -> str | None:
    found: str | None = await db.scalar(
        select(tasks.c.id).where(tasks.c.kind == kind, tasks.c.subject == subject, tasks.c.done_at.is_(None))
    )
    return found


async def insert_task(db: Connection, task: Task) -> None:
    async with db.begin_nested():  # the unique index decides; the caller's transaction survives the loser
        await db.execute(
            insert(tasks).values(
                id=task.id,
                kind=task.kind,
                subject=task.subject,
                note=task.note,
                opened_at=task.opened_at,
                due_at=task.due_at,
            )
        )


async def finish(db: Connection, task_id: str, *, by: str, now: datetime) -> bool:
    done = await db.execute(
        update(tasks).where(tasks.c.id == task_id, tasks.c.done_at.is_(None)).values(done_at=now, done_by=by)
    )
    return done.rowcount == 1


async def list_open(db: Connection, *, limit: int) -> Sequence[Task]:
    rows = await db.execute(select(tasks).where(tasks.c.done_at.is_(None)).order_by(tasks.c.due_at).limit(limit))
    return [Task(**row._mapping) for row in rows]
