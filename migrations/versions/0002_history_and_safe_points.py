"""What was known when: revisions of shipments and whole ones of alerts; safe points of evaluation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
IDENTIFIER = sa.Text(collation="C")

# What was not kept before is taken to have been as it is now.
FILL_SHIPMENT_REVISIONS = """
INSERT INTO shipment_revisions (shipment_id, revision, recorded_at, step, "by", plan, plan_revision,
    departed_at, delivered_at, cancelled_at, devices)
SELECT shipment_id, 1, created_at, 'created', 'migration', plan, plan_revision, departed_at, delivered_at, cancelled_at,
    coalesce((
        SELECT jsonb_agg(jsonb_build_object('device_id', device_id, 'starts_at', starts_at, 'ends_at', ends_at)
                         ORDER BY device_id)
        FROM device_assignments AS a WHERE a.shipment_id = s.shipment_id
    ), '[]')
FROM shipments AS s
"""

FILL_ALERT_REVISIONS = """
UPDATE alert_revisions AS r SET since = a.since,
    until = CASE WHEN r.state = 'resolved' THEN a.until END,
    withdrawn = a.withdrawn AND r.state = 'resolved',
    acknowledged_at = CASE WHEN r.state <> 'firing' THEN a.acknowledged_at END,
    acknowledged_by = CASE WHEN r.state <> 'firing' THEN a.acknowledged_by END,
    resolved_at = CASE WHEN r.state = 'resolved' THEN a.resolved_at END
FROM alerts AS a WHERE a.id = r.alert_id
"""


def upgrade() -> None:
    op.create_table(
        "shipment_revisions",
        sa.Column("shipment_id", IDENTIFIER, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column(
            "step",
            sa.Text(),
            nullable=False,
            comment="created, departed, delivered, cancelled or plan_changed",
        ),
        sa.Column("by", sa.Text(), nullable=False, comment="a key's name"),
        sa.Column("reason", sa.Text(), nullable=True, comment="in the words of whoever changed the plan"),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("plan_revision", sa.Integer(), nullable=False),
        sa.Column("departed_at", INSTANT, nullable=True),
        sa.Column("delivered_at", INSTANT, nullable=True),
        sa.Column("cancelled_at", INSTANT, nullable=True),
        sa.Column(
            "devices",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[{device_id, starts_at, ends_at}], as assigned then",
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("shipment_revisions_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "revision", name=op.f("shipment_revisions_pkey")),
        comment="all that a judgement depends on but the readings, as it was ever known; nothing is deleted",
    )
    op.execute(FILL_SHIPMENT_REVISIONS)
    op.create_table(
        "evaluation_safe_points",
        sa.Column("shipment_id", IDENTIFIER, nullable=False),
        sa.Column("device_id", IDENTIFIER, nullable=False),
        sa.Column(
            "seen", INSTANT, nullable=False, comment="measured_at of the last reading folded into the state"
        ),
        sa.Column("plan_revision", sa.Integer(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("evaluation_safe_points_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "device_id", "seen", name=op.f("evaluation_safe_points_pkey")),
        comment="folded states along a trace: late data is folded from the last one before it, not from the start",
    )
    op.add_column(
        "evaluation_marks",
        sa.Column(
            "late",
            sa.Boolean(),
            sa.Computed("coalesce(marked_at - dirty_from > interval '5 minutes', false)", persisted=True),
            nullable=False,
            comment="readings of the past, as after a flight: what is live comes before them",
        ),
    )
    op.create_index(op.f("evaluation_marks_late_id_idx"), "evaluation_marks", ["late", "id"])
    for column in (
        sa.Column("since", INSTANT),
        sa.Column("until", INSTANT),
        sa.Column("withdrawn", sa.Boolean()),
        sa.Column("acknowledged_at", INSTANT),
        sa.Column("acknowledged_by", sa.Text()),
        sa.Column("resolved_at", INSTANT),
    ):
        op.add_column("alert_revisions", column)
    op.execute(FILL_ALERT_REVISIONS)
    op.alter_column("alert_revisions", "since", nullable=False)
    op.alter_column("alert_revisions", "withdrawn", nullable=False)
    op.create_table_comment("alert_revisions", "every state an alert was ever in; nothing is deleted")


def downgrade() -> None:
    op.drop_table_comment(
        "alert_revisions", existing_comment="every state an alert was ever in; nothing is deleted"
    )
    for name in ("resolved_at", "acknowledged_by", "acknowledged_at", "withdrawn", "until", "since"):
        op.drop_column("alert_revisions", name)
    op.drop_index(op.f("evaluation_marks_late_id_idx"), table_name="evaluation_marks")
    op.drop_column("evaluation_marks", "late")
    op.drop_table("evaluation_safe_points")
    op.drop_table("shipment_revisions")
