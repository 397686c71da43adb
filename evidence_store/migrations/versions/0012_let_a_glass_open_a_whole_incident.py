"""Let a glass open a whole incident: it then names no object."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("glasses", schema=None) as batch_op:
        batch_op.alter_column("object", existing_type=sa.String(length=32), nullable=True)
        batch_op.create_index("ix_glasses_incident_token", ["incident", "token"], unique=False)


def downgrade() -> None:
    op.execute("DELETE FROM glasses WHERE object IS NULL")
    with op.batch_alter_table("glasses", schema=None) as batch_op:
        batch_op.drop_index("ix_glasses_incident_token")
        batch_op.alter_column("object", existing_type=sa.String(length=32), nullable=False)
