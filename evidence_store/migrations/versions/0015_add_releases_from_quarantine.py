"""Add releases from quarantine."""

import sqlalchemy as sa
from alembic import op

from evidence_store.database import UtcDateTime
from evidence_store.migrations.guards_quarantine import drop_guards, set_guards

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
_OPEN = sa.text("state = 'proposed'")


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("object", sa.String(length=32), nullable=False),
        sa.Column("incident", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("knowing", sa.String(length=16), nullable=False),
        sa.Column("malware", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(length=120), nullable=False),
        sa.Column("asked_name", sa.String(length=64), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("decided_by", sa.String(length=120), nullable=True),
        sa.Column("decided_name", sa.String(length=64), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "decided_name IS NULL OR lower(decided_name) <> lower(asked_name)", name=op.f("ck_releases_two_people")
        ),
        sa.CheckConstraint(
            "state <> 'released' OR malware = '' OR decided_name IS NOT NULL",
            name=op.f("ck_releases_malware_needs_two"),
        ),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name="fk_releases_object"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
    )
    with op.batch_alter_table("releases", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_releases_object"), ["object"], unique=False)
        batch_op.create_index(batch_op.f("ix_releases_state"), ["state"], unique=False)
        batch_op.create_index(
            "uq_releases_open_object", ["object"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
        )
    set_guards()


def downgrade() -> None:
    drop_guards()
    with op.batch_alter_table("releases", schema=None) as batch_op:
        batch_op.drop_index("uq_releases_open_object", sqlite_where=_OPEN, postgresql_where=_OPEN)
        batch_op.drop_index(batch_op.f("ix_releases_state"))
        batch_op.drop_index(batch_op.f("ix_releases_object"))
    op.drop_table("releases")
