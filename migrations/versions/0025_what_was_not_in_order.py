"""What is accepted of a shipment although it is not in order stays in sight: calibrations and qualifications that run out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

COMMENTS = {
    "shipments": "[{gate, id, due_at, needed_until, reason, by, at}]: accepted although it is not in order",
    "shipment_revisions": "as in shipments",
}


def upgrade() -> None:
    for table, comment in COMMENTS.items():
        op.add_column(
            table, sa.Column("overrides", JSONB, nullable=False, server_default="[]", comment=comment)
        )


def downgrade() -> None:
    for table in COMMENTS:
        op.drop_column(table, "overrides")
