"""Say on which node an upload lies."""

import sqlalchemy as sa
from alembic import op

from evidence_store.database import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    op.add_column("uploads", sa.Column("node", sa.String(length=32), server_default="", nullable=False))
    op.add_column("objects", sa.Column("node", sa.String(length=32), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("objects", "node")  # not in a batch, which would make the table anew without its triggers
    op.drop_column("uploads", "node")
    op.drop_table("nodes")
