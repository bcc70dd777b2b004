"""What rules find: figures with alerts, and alerts about the whole fleet."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.add_column(
        "alerts",
        sa.Column(
            "details",
            JSONB,
            server_default="{}",
            nullable=False,
            comment="figures, under names with units",
        ),
    )
    op.add_column("alert_revisions", sa.Column("details", JSONB, server_default="{}", nullable=False))
    op.alter_column("alerts", "shipment_id", nullable=True, comment="null: the whole fleet")
    op.create_index(
        "alerts_fleet_subject_key",
        "alerts",
        ["subject"],
        unique=True,
        postgresql_where=sa.text("shipment_id IS NULL"),
    )


def downgrade() -> None:
    # Alerts about no shipment have no place in the schema of before.
    op.execute(
        "DELETE FROM alert_revisions WHERE alert_id IN (SELECT id FROM alerts WHERE shipment_id IS NULL)"
    )
    op.execute("DELETE FROM alerts WHERE shipment_id IS NULL")
    op.drop_index("alerts_fleet_subject_key", table_name="alerts")
    op.alter_column(
        "alerts", "shipment_id", nullable=False, comment=None, existing_comment="null: the whole fleet"
    )
    op.drop_column("alert_revisions", "details")
    op.drop_column("alerts", "details")
