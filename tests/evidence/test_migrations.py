"""The store's tables: what migrations make is what the code says, on both databases, there and back."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import inspect

from evidence_store import migrations
from evidence_store.config import Settings
from evidence_store.database import Database
from tests.evidence.conftest import both_databases

pytestmark = both_databases


@pytest.fixture
async def database(evidence_settings: Settings):
    evidence_settings.data.mkdir()
    found = Database(evidence_settings.database_url)
    yield found
    await found.dispose()


async def test_migrations_make_exactly_the_tables_of_the_code(database: Database):
    def differ(connection: SyncConnection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, migrations.all_tables()))

    await migrations.upgrade(database)
    await migrations.upgrade(database)
    async with database.read() as db:
        differences = await db.run_sync(differ)
    assert not differences, "\n".join(f"evidence_store/migrations/versions:1: {found}" for found in differences)


async def test_migrations_can_be_taken_back(database: Database):
    await migrations.upgrade(database)
    await migrations.downgrade(database)
    async with database.read() as db:
        left = await db.run_sync(lambda connection: set(inspect(connection).get_table_names()))
    assert left <= {"alembic_version"}
    await migrations.upgrade(database)
