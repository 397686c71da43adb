"""Alembic migrations: `upgrade()` brings a database to the newest version; SQLite and PostgreSQL alike."""

import importlib
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import MetaData, func, select

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


async def _run(url: str, act: Callable[[Config], None]) -> None:
    database = Database(url)
    try:
        async with database.begin() as db:
            if db.dialect.name == "postgresql":
                await db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            await db.run_sync(lambda connection: act(config_for(connection)))
    finally:
        await database.dispose()
