"""What earlier versions of the store left: objects without the digest of their header, backups of earlier tables."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import MetaData, insert, select

from evidence_store import migrations
from evidence_store.database import METADATA, Database
from evidence_store.objects import service as objects
from evidence_store.store import Store

ROWS = "evidence.sqlite"


def seal_as_before_0011(patch: pytest.MonkeyPatch) -> None:
    """Seal what comes from now on without keeping the digest of its header, in database and ledger."""
    seal = objects.seal_key

    def seal_key(store: Store, name: str, object_id: str, key: bytes) -> str:
        seal(store, name, object_id, key)
        return ""

    patch.setattr("evidence_store.objects.service.seal_key", seal_key)


async def make_older(backup: Path, revision: str, target: Path) -> Path:
    """Make a backup as it would have been at an earlier revision: its tables made by the migrations, the same rows."""
    shutil.copytree(backup, target, ignore=shutil.ignore_patterns(ROWS))
    new, old = (Database(f"sqlite+aiosqlite:///{folder / ROWS}") for folder in (backup, target))
    try:
        await migrations.upgrade(old, revision)
        async with new.read() as source, old.begin() as db:
            for table in (await db.run_sync(_tables)).sorted_tables:
                columns = [METADATA.tables[table.name].c[column.name] for column in table.columns]
                rows = [dict(row._mapping) for row in await source.execute(select(*columns))]
                if rows:
                    await db.execute(insert(table), rows)
    finally:
        for database in (new, old):
            await database.dispose()
    return target


def _tables(connection: SyncConnection) -> MetaData:
    found = MetaData()
    found.reflect(connection)
    found.remove(found.tables["alembic_version"])
    return found
