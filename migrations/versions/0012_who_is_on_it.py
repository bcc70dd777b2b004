"""Policies say whether those who were asked are told that somebody is on it; it is told of what is critical from now on.

Tests of an address, what failed, and all that was decided about a contact are found without reading every notification.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BEFORE = "escalation, handover, assigned, destination, resolved, digest or test"
AFTER = "escalation, handover, assigned, destination, taken, resolved, digest or test"


def upgrade() -> None:
    op.add_column(
        "policies",
        sa.Column(
            "tell_taken",
            sa.Text,
            server_default="critical",
            comment="least severity of which those who were asked are told who is on it; null: never",
        ),
    )
    op.alter_column("notifications", "purpose", comment=AFTER, existing_comment=BEFORE)
    _index_recipients("contact_id IS NOT NULL")
    op.create_index(
        "notifications_failed_idx",
        "notifications",
        ["decided_at", "id"],
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.create_index(
        "notifications_tests_idx",
        "notifications",
        ["address", "decided_at"],
        postgresql_where=sa.text("purpose = 'test'"),
    )


def _index_recipients(where: str) -> None:
    name, table = "notifications_recipient_idx", "notifications"
    op.drop_index(name, table)
    op.create_index(name, table, ["contact_id", "decided_at"], postgresql_where=sa.text(where))


def downgrade() -> None:
    op.drop_index("notifications_tests_idx", "notifications")
    op.drop_index("notifications_failed_idx", "notifications")
    _index_recipients("state <> 'not_sent'")
    op.alter_column("notifications", "purpose", comment=BEFORE, existing_comment=AFTER)
    op.drop_column("policies", "tell_taken")
