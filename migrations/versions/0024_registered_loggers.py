"""Loggers are registered as dewars are: every description stays on record, with their calibrations; they can be retired."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True)
ID = sa.Text(collation="C")
DUE = "of the newest certificate, where there is one"

# What is there is the first that is known of each.
FIRST = """
INSERT INTO device_revisions (device_id, revision, recorded_at, "by", content)
SELECT device_id, revision, created_at, 'migration', to_jsonb(devices) FROM devices
"""


def upgrade() -> None:
    op.alter_column("devices", "calibration_due", comment=DUE, existing_comment=None)
    op.add_column("devices", sa.Column("retired_at", INSTANT, comment="null: in use"))
    op.add_column("devices", sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
    op.add_column("devices", sa.Column("updated_at", INSTANT, nullable=False, server_default=sa.func.now()))
    op.add_column(
        "devices",
        sa.Column("updated_by", sa.Text, comment="a key's name; null: registered before that was kept"),
    )
    op.execute("UPDATE devices SET updated_at = created_at")
    op.create_table(
        "device_revisions",
        sa.Column("device_id", ID, sa.ForeignKey("devices.device_id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.Column("reason", sa.Text),
        sa.Column("content", JSONB, nullable=False, comment="the whole row of devices"),
        sa.PrimaryKeyConstraint("device_id", "revision", name="device_revisions_pkey"),
        comment="every state a device was ever in; nothing is deleted",
    )
    op.execute(FIRST)
    op.create_table(
        "device_calibrations",
        sa.Column("device_id", ID, sa.ForeignKey("devices.device_id"), nullable=False),
        sa.Column("certificate", sa.Text, nullable=False, comment="its number"),
        sa.Column("calibrated_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("laboratory", sa.Text),
        sa.Column("sha256", sa.Text, comment="of the document, in hexadecimal"),
        sa.Column("note", sa.Text),
        sa.Column("recorded_at", INSTANT, nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.PrimaryKeyConstraint("device_id", "certificate", name="device_calibrations_pkey"),
        comment="rows are never changed or deleted; the newest by calibrated_at is calibration_due of the device",
    )


def downgrade() -> None:
    op.drop_table("device_calibrations")
    op.drop_table("device_revisions")
    for column in ("updated_by", "updated_at", "revision", "retired_at"):
        op.drop_column("devices", column)
    op.alter_column("devices", "calibration_due", comment=None, existing_comment=DUE)
