"""Calls with an Idempotency-Key are answered once; a handover shows who held the shipment by the record.

Steps in the life of a shipment have new names, which only comments list.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STEPS = (
    "created, departed, delivered, cancelled, plan_changed or schedule_changed",
    "created, departed, delivered, cancelled, plan_changed, schedule_changed, corrected, loggers_changed or dewar_changed",
)
REASONS = (
    "in the words of whoever changed the plan or the schedule",
    "in the words of whoever took the step",
)


def upgrade() -> None:
    op.create_table(
        "idempotent_calls",
        sa.Column("caller", sa.Text, nullable=False, comment="a key's name"),
        sa.Column("key_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of the Idempotency-Key"),
        sa.Column(
            "request_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of method, address and body"
        ),
        sa.Column(
            "made_at",
            TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.func.clock_timestamp(),
        ),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.ARRAY(sa.Text)),
        sa.Column("answer", sa.LargeBinary, comment="encrypted: who sent the call has the key"),
        sa.PrimaryKeyConstraint("caller", "key_hash", name="idempotent_calls_pkey"),
        comment="what was answered to calls with an Idempotency-Key, for a day; written in the transaction of the call",
    )
    op.create_index("idempotent_calls_made_at_idx", "idempotent_calls", ["made_at"])
    op.add_column(
        "handovers",
        sa.Column(
            "held_by",
            sa.Text,
            comment="who held it by the record, where that is not who gave it; null: it is",
        ),
    )
    _comment(0, 1)


def downgrade() -> None:
    _comment(1, 0)
    op.drop_column("handovers", "held_by")
    op.drop_table("idempotent_calls")


def _comment(before: int, after: int) -> None:
    for column, words in (("step", STEPS), ("reason", REASONS)):
        op.alter_column("shipment_revisions", column, comment=words[after], existing_comment=words[before])
