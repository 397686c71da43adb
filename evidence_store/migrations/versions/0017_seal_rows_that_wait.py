"""Seal rows that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
_TABLES = ("uploads", "objects", "events", "webhook_deliveries")


def upgrade() -> None:
    for table in _TABLES:  # not as a batch: on SQLite that makes a table anew, and its triggers are lost
        op.add_column(table, sa.Column("seal", sa.String(length=43), server_default="", nullable=False))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "seal")
