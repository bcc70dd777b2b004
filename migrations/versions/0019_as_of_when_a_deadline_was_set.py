"""Each deadline of a queue stands beside the instant as of which it was set: one from the future is wrong.

Rows that are there were set at some instant before now. Code of before leaves the new columns alone.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True)
DECIDED = "as of when that was decided"
KEYS = ("evaluations", "attention")
LEASES = {
    "webhook_deliveries": DECIDED,
    "notifications": "as of when `send_at` and `lease_until` were decided",
}


def upgrade() -> None:
    for table in KEYS:
        op.add_column(table, sa.Column("set_at", INSTANT, comment=f"{DECIDED}, by the database's clock"))
    for table, comment in LEASES.items():
        column = sa.Column("set_at", INSTANT, nullable=False, server_default=sa.func.now(), comment=comment)
        op.add_column(table, column)
    op.add_column("webhooks", sa.Column("hold_set_at", INSTANT, comment=DECIDED))


def downgrade() -> None:
    op.drop_column("webhooks", "hold_set_at")
    for table in (*LEASES, *KEYS):
        op.drop_column(table, "set_at")
