"""Keep the certificate of who read a statement aloud to a witness who cannot read it."""

import sqlalchemy as sa
from alembic import op

from video_server.core.database import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statement_readings",
        sa.Column("statement_id", sa.String(length=32), nullable=False),
        sa.Column("shown_sha256", sa.String(length=64), nullable=False),
        sa.Column("typed", sa.String(length=120), nullable=False),
        sa.Column("declared_at", UtcDateTime(), nullable=False),
        sa.Column("declared_by", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statements.id"], name=op.f("fk_statement_readings_statement_id_statements")
        ),
        sa.PrimaryKeyConstraint("statement_id", "shown_sha256", name=op.f("pk_statement_readings")),
    )


def downgrade() -> None:
    op.drop_table("statement_readings")
