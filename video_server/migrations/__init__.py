"""Alembic migrations: `upgrade()` brings a database to the newest version; SQLite and PostgreSQL alike."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import MetaData, func, inspect, select

from video_server.core.database import METADATA, Database

STORAGES = (
    "core",
    "web",
    "audit",
    "accounts",
    "tasks",
    "incidents",
    "texts",
    "appointments",
    "calls",
    "statements",
    "evidence",
)
_LOCK = 7_401_102  # any constant: two processes that start at once migrate one after the other


def all_tables() -> MetaData:
    """Return the metadata with every slice's tables on it."""
    for slice_name in STORAGES:
        importlib.import_module(f"video_server.{slice_name}.storage")
    return METADATA


def config_for(connection: SyncConnection) -> Config:
    """Return Alembic's configuration for an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to a revision, in one transaction; nothing to do is quick."""
    await _run(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str = "base") -> None:
    """Take the database back to a revision, in one transaction."""
    await _run(url, lambda config: command.downgrade(config, revision))


async def write_migration(url: str, message: str) -> None:
    """Write a new version file from the difference between the database at `url` and the tables (`make migration`)."""
    await _run(url, lambda config: command.revision(config, message, autogenerate=True, rev_id=_next_revision()))


async def find_differences(url: str) -> list[Any]:
    """Return what the tables have and a migrated database lacks, or the other way round; empty when they agree."""
    found: list[Any] = []

    def look(connection: SyncConnection) -> None:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found.extend(compare_metadata(context, all_tables()))

    database = Database(url)
    try:
        async with database.read() as db:
            await db.run_sync(look)
    finally:
        await database.dispose()
    return found


def _next_revision() -> str:
    return f"{len(list((Path(__file__).parent / 'versions').glob('[0-9]*.py'))) + 1:04}"


async def is_empty(url: str) -> bool:
    """Say whether the database holds no table of ours: a first start."""
    database = Database(url)
    try:
        async with database.read() as db:
            return not await db.run_sync(lambda connection: inspect(connection).has_table("events"))
    finally:
        await database.dispose()


async def _run(url: str, act: Callable[[Config], object]) -> None:
    database = Database(url)
    try:
        async with database.begin() as db:
            if db.dialect.name == "postgresql":
                await db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            await db.run_sync(lambda connection: act(config_for(connection)))
    finally:
        await database.dispose()
