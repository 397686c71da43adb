"""Alembic migrations of the store: `upgrade()` brings a database to the newest version; SQLite and PostgreSQL alike."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import MetaData, func, select
from sqlalchemy.exc import DatabaseError

from evidence_store import ledger, storage  # noqa: F401 — their tables join the metadata
from evidence_store.admission import storage as admission_storage  # noqa: F401
from evidence_store.breakglass import storage as breakglass_storage  # noqa: F401
from evidence_store.custody import storage as custody_storage  # noqa: F401
from evidence_store.database import METADATA, Database
from evidence_store.errors import CannotStart
from evidence_store.keeping import storage as keeping_storage  # noqa: F401
from evidence_store.media import storage as media_storage  # noqa: F401
from evidence_store.mirrors import storage as mirrors_storage  # noqa: F401
from evidence_store.nodes import storage as nodes_storage  # noqa: F401
from evidence_store.notify import storage as notify_storage  # noqa: F401
from evidence_store.quarantine import storage as quarantine_storage  # noqa: F401
from evidence_store.screening import storage as screening_storage  # noqa: F401
from evidence_store.view import storage as view_storage  # noqa: F401
from evidence_store.webhooks import storage as webhooks_storage  # noqa: F401

_LOCK = 7_401_103  # any constant: two processes that start at once migrate one after the other


def all_tables() -> MetaData:
    """Return the metadata with every table on it."""
    return METADATA


async def upgrade(database: Database, revision: str = "head") -> None:
    """Bring a database to a revision, in one transaction; nothing to do is quick."""
    if revision == "head":
        async with database.read() as db:
            if await db.run_sync(is_newest):
                return
    await _run(database, lambda config: command.upgrade(config, revision))


async def upgrade_foreign(database: Database, name: str) -> None:
    """Bring a database that came from elsewhere to the newest version. Raises CannotStart, which begins with `name`."""
    try:
        async with database.read() as db:
            known = await db.run_sync(_is_known)
        if not known:
            raise CannotStart(
                f"{name} is of no version that this program knows. Use the version that made it, or a newer one."
            )
        await upgrade(database)
    except DatabaseError as problem:
        raise CannotStart(f"{name} cannot be read and brought to this version ({problem.orig}).") from None


async def downgrade(database: Database, revision: str = "base") -> None:
    """Take a database back to a revision, in one transaction. Only tests do this."""
    await _run(database, lambda config: command.downgrade(config, revision))


async def write_migration(database: Database, message: str) -> None:
    """Write a new version file from the difference between the database and the tables (`make evidence-migration`)."""
    number = len(list((Path(__file__).parent / "versions").glob("[0-9]*.py"))) + 1
    await _run(database, lambda config: command.revision(config, message, autogenerate=True, rev_id=f"{number:04}"))


def is_newest(connection: SyncConnection) -> bool:
    """Say whether the database is at the version of this program."""
    return MigrationContext.configure(connection).get_current_revision() == _newest()


@cache
def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _is_known(connection: SyncConnection) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return MigrationContext.configure(connection).get_current_revision() in known


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


async def _run(database: Database, act: Callable[[Config], object]) -> None:
    def run(connection: SyncConnection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        act(config)

    async with database.begin() as db:
        if db.dialect.name == "postgresql":
            await db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        await db.run_sync(run)
