"""Add the digest of a token's secret."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("secret_sha256", sa.String(length=64), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("tokens", "secret_sha256")
