"""Alembic's entry: runs on the connection that `migrations.upgrade()` opened."""

from alembic import context

from video_server.migrations import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
