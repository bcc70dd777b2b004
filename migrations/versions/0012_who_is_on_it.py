"""Policies say whether those who were asked are told that somebody is on it; it is told of what is critical from now on."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
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


def downgrade() -> None:
    op.alter_column("notifications", "purpose", comment=BEFORE, existing_comment=AFTER)
    op.drop_column("policies", "tell_taken")
