"""Add the digest of an object's header."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: on SQLite that makes the table anew, and its triggers are lost.
    op.add_column("objects", sa.Column("header_sha256", sa.String(length=64), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("objects", "header_sha256")
