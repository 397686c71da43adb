"""Add statements taken through an interpreter."""

import sqlalchemy as sa
from alembic import op

from video_server.core.database import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statement_interpretations",
        sa.Column("statement_id", sa.String(length=32), nullable=False),
        sa.Column("shown_sha256", sa.String(length=64), nullable=False),
        sa.Column("typed", sa.String(length=120), nullable=False),
        sa.Column("declared_at", UtcDateTime(), nullable=False),
        sa.Column("signed_where", sa.String(length=10), nullable=False),
        sa.Column("declared_by", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statements.id"], name=op.f("fk_statement_interpretations_statement_id")
        ),
        sa.PrimaryKeyConstraint("statement_id", "shown_sha256", name=op.f("pk_statement_interpretations")),
    )
    with op.batch_alter_table("statement_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("interpreter_name", sa.String(length=120), server_default="", nullable=False))
        batch_op.add_column(sa.Column("spoken", sa.String(length=10), server_default="", nullable=False))
        batch_op.add_column(sa.Column("original", sa.Text(), server_default="", nullable=False))

    with op.batch_alter_table("statements", schema=None) as batch_op:
        batch_op.add_column(sa.Column("interpreter_name", sa.String(length=120), server_default="", nullable=False))
        batch_op.add_column(sa.Column("spoken", sa.String(length=10), server_default="", nullable=False))
        batch_op.add_column(sa.Column("original", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("original_version", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("statements", schema=None) as batch_op:
        batch_op.drop_column("original_version")
        batch_op.drop_column("original")
        batch_op.drop_column("spoken")
        batch_op.drop_column("interpreter_name")

    with op.batch_alter_table("statement_versions", schema=None) as batch_op:
        batch_op.drop_column("original")
        batch_op.drop_column("spoken")
        batch_op.drop_column("interpreter_name")

    op.drop_table("statement_interpretations")
