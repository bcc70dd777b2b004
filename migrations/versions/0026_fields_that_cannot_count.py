"""What is set aside of a reading is kept beside it; which session of a logger a status is of; what is refused is found again.

The index of what is set aside reads all readings once.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "readings",
        sa.Column("set_aside", JSONB, comment="the fields that cannot count: {name: {value, reason}}"),
    )
    op.create_index(
        "readings_set_aside_idx",
        "readings",
        ["device_id", "measured_at"],
        postgresql_where=sa.text("set_aside IS NOT NULL"),
    )
    op.add_column("device_states", sa.Column("set_aside", JSONB, comment="of the latest reading"))
    op.add_column(
        "device_states",
        sa.Column(
            "status_at", TIMESTAMP(timezone=True), comment="the latest time that a status said of itself"
        ),
    )
    op.add_column(
        "device_states",
        sa.Column(
            "status_received_at",
            TIMESTAMP(timezone=True),
            comment="of the status that connection comes from; null: none since this was recorded",
        ),
    )
    op.create_index("refused_messages_sha256_idx", "refused_messages", ["sha256"], postgresql_using="hash")


def downgrade() -> None:
    op.drop_index("refused_messages_sha256_idx", "refused_messages")
    op.drop_column("device_states", "status_received_at")
    op.drop_column("device_states", "status_at")
    op.drop_column("device_states", "set_aside")
    op.drop_index("readings_set_aside_idx", "readings")
    op.drop_column("readings", "set_aside")
