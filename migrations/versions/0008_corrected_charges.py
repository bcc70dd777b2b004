"""Charges that were told wrongly can be corrected; schedules have revisions, as plans have."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())

# What was changed before the number was kept is counted.
COUNT = """
UPDATE shipment_revisions AS r SET schedule_revision = 1 + (
    SELECT count(*) FROM shipment_revisions AS before
    WHERE before.shipment_id = r.shipment_id AND before.revision <= r.revision AND before.step = 'schedule_changed'
)
"""
NEWEST = """
UPDATE shipments AS s SET schedule_revision = r.newest
FROM (SELECT shipment_id, max(schedule_revision) AS newest FROM shipment_revisions GROUP BY shipment_id) AS r
WHERE r.shipment_id = s.shipment_id AND r.newest > 1
"""

# Shipments that wait for their departure are looked at once: it may be late.
LOOK = """
UPDATE evaluations SET evaluate_at = now() FROM shipments AS s
WHERE s.shipment_id = evaluations.shipment_id AND s.status = 'planned' AND s.planned_departure IS NOT NULL
"""


def upgrade() -> None:
    op.add_column(
        "dewar_charges",
        sa.Column(
            "withdrawn",
            sa.Boolean,
            server_default=sa.text("false"),
            nullable=False,
            comment="there was no such charge",
        ),
    )
    op.add_column(
        "dewar_charges",
        sa.Column(
            "corrections",
            JSONB,
            server_default="[]",
            nullable=False,
            comment="[{corrected_at, by, reason, was: {ln2_kg, withdrawn}}], the first one first",
        ),
    )
    op.create_table_comment(
        "dewar_charges",
        "rows are never deleted; the newest that is not withdrawn is last_charged_at of the dewar",
        existing_comment="rows are only added; the newest is last_charged_at of the dewar",
    )
    op.add_column("shipments", sa.Column("schedule_revision", sa.Integer, server_default="1", nullable=False))
    op.add_column(
        "shipment_revisions", sa.Column("schedule_revision", sa.Integer, server_default="1", nullable=False)
    )
    op.execute(COUNT)
    op.execute(NEWEST)
    op.execute(LOOK)
    op.alter_column("shipment_revisions", "schedule_revision", server_default=None)


def downgrade() -> None:
    op.drop_column("shipment_revisions", "schedule_revision")
    op.drop_column("shipments", "schedule_revision")
    op.create_table_comment(
        "dewar_charges",
        "rows are only added; the newest is last_charged_at of the dewar",
        existing_comment="rows are never deleted; the newest that is not withdrawn is last_charged_at of the dewar",
    )
    op.drop_column("dewar_charges", "corrections")
    op.drop_column("dewar_charges", "withdrawn")
