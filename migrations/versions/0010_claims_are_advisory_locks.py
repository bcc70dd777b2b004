"""The row of a shipment in `evaluations` is no lock any more: its comment says so."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BEFORE = "one row a shipment; its lock is the right to evaluate it"
AFTER = "one row a shipment; written only by whoever evaluates it"


def upgrade() -> None:
    op.create_table_comment("evaluations", AFTER, existing_comment=BEFORE)


def downgrade() -> None:
    op.create_table_comment("evaluations", BEFORE, existing_comment=AFTER)
