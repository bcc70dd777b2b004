"""Up to where the outbox was cut off is known, so that whoever resumes a stream from before that is told."""

import sqlalchemy as sa
from alembic import op

from migrations.transaction_id import TransactionId

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What was removed before this version nobody knows: where the first event is not there any more, all before the oldest.
CUT_OFF_SO_FAR = """
INSERT INTO outbox_pruned (transaction_id, id)
SELECT transaction_id, id - 1 FROM outbox WHERE (SELECT min(id) FROM outbox) > 1 ORDER BY transaction_id, id LIMIT 1
"""


def upgrade() -> None:
    op.create_table(
        "outbox_pruned",
        sa.Column("one", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("transaction_id", TransactionId, nullable=False),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.CheckConstraint("one", name="outbox_pruned_one_check"),
        sa.PrimaryKeyConstraint("one", name="outbox_pruned_pkey"),
        comment="the last position whose event was removed: who reads on from before it has missed something",
    )
    op.execute(CUT_OFF_SO_FAR)


def downgrade() -> None:
    op.drop_table("outbox_pruned")
