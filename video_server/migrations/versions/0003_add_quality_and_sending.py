"""Keep how calls were in figures, what pages send, and overlapping gaps of different reasons."""

import sqlalchemy as sa
from alembic import op

from video_server.core.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sending",
        sa.Column("participant_id", sa.String(length=32), nullable=False),
        sa.Column("appointment_id", sa.String(length=32), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("camera_off", sa.Boolean(), nullable=False),
        sa.Column("audio_only", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("participant_id", name=op.f("pk_sending")),
    )
    with op.batch_alter_table("sending", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sending_appointment_id"), ["appointment_id"], unique=False)
    op.create_table(
        "quality",
        sa.Column("participant_id", sa.String(length=32), nullable=False),
        sa.Column("began_at", UtcDateTime(), nullable=False),
        sa.Column("appointment_id", sa.String(length=32), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("up_bits_per_second", sa.Float(), nullable=False),
        sa.Column("up_loss", sa.Float(), nullable=False),
        sa.Column("up_jitter_ms", sa.Float(), nullable=False),
        sa.Column("down_bits_per_second", sa.Float(), nullable=False),
        sa.Column("down_loss", sa.Float(), nullable=False),
        sa.Column("down_jitter_ms", sa.Float(), nullable=False),
        sa.Column("round_trip_ms", sa.Float(), nullable=True),
        sa.Column("rung", sa.String(length=20), nullable=False),
        sa.Column("freezes", sa.Integer(), nullable=False),
        sa.Column("concealed", sa.Float(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("participant_id", "began_at", name=op.f("pk_quality")),
    )
    with op.batch_alter_table("quality", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quality_appointment_id"), ["appointment_id"], unique=False)
    with op.batch_alter_table("gaps", schema=None) as batch_op:
        batch_op.drop_index("uq_gaps_open")
        batch_op.create_index("uq_gaps_open", ["participant_id", "why"], unique=True, **OPEN)


def downgrade() -> None:
    with op.batch_alter_table("gaps", schema=None) as batch_op:
        batch_op.drop_index("uq_gaps_open")
        batch_op.create_index("uq_gaps_open", ["participant_id"], unique=True, **OPEN)
    op.drop_table("quality")
    op.drop_table("sending")


OPEN = {"sqlite_where": sa.text("ended_at IS NULL"), "postgresql_where": sa.text("ended_at IS NULL")}
