"""Alembic's entry: runs on the connection that `migrations.upgrade()` opened."""

from typing import Any, Literal

from alembic import context

from evidence_store.database import UtcDateTime
from evidence_store.migrations import all_tables


def render_item(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """Write our own column type by its short name."""
    if kind == "type" and isinstance(item, UtcDateTime):
        autogen.imports.add("from evidence_store.database import UtcDateTime")
        return "UtcDateTime()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    render_item=render_item,
    render_as_batch=True,
    transactional_ddl=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
