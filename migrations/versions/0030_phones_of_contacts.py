"""Contacts have a phone number, which messages name to people who have to ring whoever holds a shipment."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "contacts", sa.Column("phone", sa.Text, comment="for people to ring: nothing is sent there")
    )


def downgrade() -> None:
    op.drop_column("contacts", "phone")
