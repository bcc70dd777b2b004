"""Loggers that flood the service are suspended for a time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = TIMESTAMP(timezone=True)
    op.create_table(
        "device_suspensions",
        sa.Column("device_id", sa.Text(collation="C"), sa.ForeignKey("devices.device_id"), primary_key=True),
        sa.Column("since", instant, nullable=False),
        sa.Column("until", instant, nullable=False, comment="when it ends by itself"),
        sa.Column("reason", sa.Text, nullable=False, comment="garbage, repetition or volume"),
        sa.Column(
            "times", sa.Integer, nullable=False, comment="how many there were, each within a day of the last"
        ),
        sa.Column("shut_at", instant, comment="when the broker kept it out; null: not yet"),
        sa.Column("lifted_at", instant, comment="when the broker let it in again; null: not yet"),
        comment="the last time that each device was suspended because it flooded the service",
    )
    op.create_index(
        "device_suspensions_under_way_idx",
        "device_suspensions",
        ["device_id"],
        postgresql_where=sa.text("lifted_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("device_suspensions")
