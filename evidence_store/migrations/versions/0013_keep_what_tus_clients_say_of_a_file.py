"""Keep what tus clients say of a file word for word."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("uploads", sa.Column("metadata", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("uploads", "metadata")
