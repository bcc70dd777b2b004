"""What was refused of a logger reaches its shipments; clocks are corrected on record, and what was known then is still known."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True)
ID = sa.Text(collation="C")

# A reading that was put back is told from one that had its time meanwhile by when each was received.
KNOWN = """
CREATE FUNCTION readings_known_at(known_at timestamptz) RETURNS SETOF readings LANGUAGE sql STABLE AS $$
    SELECT r.* FROM readings AS r
    WHERE r.received_at <= known_at AND NOT EXISTS (
        SELECT FROM displaced_readings AS d WHERE d.device_id = r.device_id AND d.measured_at = r.measured_at
            AND (d.reading->>'received_at')::timestamptz = r.received_at AND d.displaced_at <= known_at AND d.restored_at > known_at)
    UNION ALL
    SELECT p.* FROM displaced_readings AS n CROSS JOIN jsonb_populate_record(NULL::readings, n.reading) AS p
    WHERE n.restored_at IS NULL AND n.displaced_at > known_at AND p.received_at <= known_at AND NOT EXISTS (
        SELECT FROM displaced_readings AS d WHERE d.device_id = n.device_id AND d.measured_at = n.measured_at
            AND d.reading->>'received_at' = n.reading->>'received_at' AND d.displaced_at <= known_at AND d.restored_at > known_at)
$$
"""


STEPS = (
    "created, departed, delivered, cancelled, plan_changed, schedule_changed, corrected, loggers_changed or dewar_changed",
    "created, departed, delivered, cancelled, plan_changed, schedule_changed, corrected, loggers_changed, dewar_changed or clock_corrected",
)


def upgrade() -> None:
    op.alter_column("shipment_revisions", "step", comment=STEPS[1], existing_comment=STEPS[0])
    op.create_table(
        "refused_hours",
        sa.Column("device_id", ID, nullable=False),
        sa.Column("hour", INSTANT, nullable=False, comment="of receipt (UTC)"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column(
            "fault",
            sa.Text,
            nullable=False,
            comment="of the logger's clock, as its times show it; empty: none",
        ),
        sa.Column("first_at", INSTANT, nullable=False, comment="when it was received"),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.Column(
            "readings",
            sa.BigInteger,
            nullable=False,
            comment="readings, or messages that were refused as a whole",
        ),
        sa.Column("sent_at", INSTANT, comment="the time that the first of them carries, where it is legible"),
        sa.Column("true_at", INSTANT, comment="when that was probably measured"),
        sa.Column("least_c", sa.Double, comment="the coldest of those whose time alone is wrong"),
        sa.Column("most_c", sa.Double, comment="the warmest of them"),
        sa.Column("detail", sa.Text, nullable=False, comment="of the first of them"),
        sa.Column(
            "instants",
            sa.ARRAY(INSTANT),
            nullable=False,
            server_default="{}",
            comment="of conflicts: the times that were contradicted",
        ),
        sa.PrimaryKeyConstraint("device_id", "hour", "reason", "fault", name="refused_hours_pkey"),
        comment="what was refused of each registered logger: shipments that it is on are judged by it. Rows stay",
    )
    op.create_index("refused_hours_hour_idx", "refused_hours", ["hour"])
    op.create_table(
        "clock_corrections",
        sa.Column("id", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column("device_id", ID, nullable=False),
        sa.Column(
            "offset_s",
            sa.Double,
            comment="what is added to the times; null: they are seconds, read as milliseconds",
        ),
        sa.Column("measured_from", INSTANT, nullable=False, comment="by the logger's clock, as it was sent"),
        sa.Column("measured_until", INSTANT, nullable=False, comment="half open"),
        sa.Column("received_from", INSTANT, comment="null: whenever it was received"),
        sa.Column("received_until", INSTANT),
        sa.Column("of_which", sa.Text, nullable=False, comment="all, refused or stored"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("taken_up", sa.Integer, nullable=False, comment="readings that were refused before"),
        sa.Column(
            "moved", sa.Integer, nullable=False, comment="readings that were stored with the wrong time"
        ),
        sa.Column(
            "left_out", sa.Integer, nullable=False, comment="refused readings that still cannot be stored"
        ),
        sa.Column("reversed_at", INSTANT, comment="null: it holds"),
        sa.Column("reversed_by", sa.Text),
        sa.Column("reversed_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="clock_corrections_pkey"),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.device_id"], name="clock_corrections_device_id_fkey"
        ),
        comment="stated corrections of loggers' clocks; rows are never deleted",
    )
    op.create_index(
        "clock_corrections_device_id_recorded_at_idx", "clock_corrections", ["device_id", "recorded_at"]
    )
    op.create_table(
        "corrected_readings",
        sa.Column("device_id", ID, nullable=False),
        sa.Column(
            "measured_at",
            INSTANT,
            nullable=False,
            comment="the corrected time, by which it is among the readings",
        ),
        sa.Column("sent_at", INSTANT, nullable=False, comment="by the logger's clock"),
        sa.Column("correction_id", sa.Uuid, nullable=False),
        sa.Column(
            "refusal_id",
            sa.BigInteger,
            comment="what it was taken up from; null: it was stored with the wrong time",
        ),
        sa.PrimaryKeyConstraint("device_id", "measured_at", name="corrected_readings_pkey"),
        sa.ForeignKeyConstraint(
            ["correction_id"], ["clock_corrections.id"], name="corrected_readings_correction_id_fkey"
        ),
        comment="which readings have their time by a correction that holds",
    )
    op.create_index("corrected_readings_correction_id_idx", "corrected_readings", ["correction_id"])
    op.create_table(
        "displaced_readings",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("device_id", ID, nullable=False),
        sa.Column("measured_at", INSTANT, nullable=False),
        sa.Column("correction_id", sa.Uuid, nullable=False),
        sa.Column("reading", JSONB, nullable=False, comment="the whole row of readings, as it was"),
        sa.Column("displaced_at", INSTANT, nullable=False),
        sa.Column("restored_at", INSTANT, comment="when it was put back; null: it is not among the readings"),
        sa.PrimaryKeyConstraint("id", name="displaced_readings_pkey"),
        sa.ForeignKeyConstraint(
            ["correction_id"], ["clock_corrections.id"], name="displaced_readings_correction_id_fkey"
        ),
        comment="readings that corrections of clocks, or their reversal, took out of the readings; nothing is deleted",
    )
    op.create_index("displaced_readings_correction_id_idx", "displaced_readings", ["correction_id"])
    op.create_index(
        "displaced_readings_device_id_measured_at_idx", "displaced_readings", ["device_id", "measured_at"]
    )
    op.execute(KNOWN)


def downgrade() -> None:
    op.execute("DROP FUNCTION readings_known_at")
    op.alter_column("shipment_revisions", "step", comment=STEPS[0], existing_comment=STEPS[1])
    for table in ("displaced_readings", "corrected_readings", "clock_corrections", "refused_hours"):
        op.drop_table(table)
