"""Open a task, list what is open, finish one."""

from collections.abc import Sequence
from datetime import datetime

from video_server.core import events, keys
from video_server.core.database import Connection, IntegrityError
from video_server.core.errors import Conflict
from video_server.tasks import storage
from video_server.tasks.model import Task


class TaskAlreadyDone(Conflict):
    code = "task_already_done"


async def open_task(db: Connection, *, kind: str, subject: str, note: str, due_at: datetime, now: datetime) -> None:
    """Open a task; while one of this kind is open for the subject, opening it again changes nothing.

    note   a short English sentence without personal data, marked with N_ by its author
    """
    if await storage.find_open(db, kind, subject) is not None:
        return
    try:
        await storage.insert_task(db, Task(keys.new_id(), kind, subject, note, now, due_at))
    except IntegrityError:
        return  # another process opened it at the same instant
    await events.record(db, "tasks", subject, now=now)


async def finish_task(db: Connection, task_id: str, *, by: str, now: datetime) -> None:
    """Mark a task done by a member of staff. Raises TaskAlreadyDone."""
    if not await storage.finish(db, task_id, by=by, now=now):
        raise TaskAlreadyDone
    await events.record(db, "tasks", task_id, now=now)


async def list_open(db: Connection, *, limit: int = 200) -> Sequence[Task]:
    """Return open tasks, the most urgent first."""
    return await storage.list_open(db, limit=limit)
