"""What an organization has is counted without reading what others have."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

REGISTERS = ("sites", "products", "contacts", "policies")


def upgrade() -> None:
    for table in REGISTERS:
        op.create_index(f"{table}_organization_idx", table, ["organization"])
    op.create_index(
        "shipments_planned_idx",
        "shipments",
        ["organization"],
        postgresql_where=sa.text("status = 'planned'"),
    )


def downgrade() -> None:
    op.drop_index("shipments_planned_idx", "shipments")
    for table in REGISTERS:
        op.drop_index(f"{table}_organization_idx", table)
