"""Partners hear of an excursion when it turns, and not each time that its peak moves: what was told of it last, and filters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

revision = "0029"
down_revision = "0025"
branch_labels = None
depends_on = None

TURN = "excursion.became_critical"


def upgrade() -> None:
    op.add_column(
        "excursions",
        sa.Column(
            "told_at",
            TIMESTAMP(timezone=True),
            comment="as of when it was last told of; null: by a version that did not note it",
        ),
    )
    op.add_column("excursions", sa.Column("told_peak_c", sa.Double, comment="the peak that was told then"))
    op.add_column("webhooks", sa.Column("incident_ids", ARRAY(sa.Text), comment="null: whatever it is about"))
    op.add_column(
        "webhooks",
        sa.Column(
            "peaks",
            sa.Boolean,
            nullable=False,
            server_default=sa.text("true"),
            comment="whether it is sent that the peak of an excursion moved",
        ),
    )
    # What became critical was told as amended: who asked for that goes on hearing of it.
    op.execute(
        f"UPDATE webhooks SET events = events || '{TURN}'::text "  # noqa: S608 -- our own words
        f"WHERE 'excursion.amended' = ANY (events) AND NOT '{TURN}' = ANY (events)"
    )
    op.create_index(
        "outbox_openings_idx",
        "outbox",
        [sa.text("(data ->> 'id')")],
        postgresql_where=sa.text("type = 'excursion.opened'"),
    )


def downgrade() -> None:
    op.drop_index("outbox_openings_idx", "outbox")
    op.execute(f"UPDATE webhooks SET events = array_remove(events, '{TURN}')")  # noqa: S608 -- our own words
    op.drop_column("webhooks", "peaks")
    op.drop_column("webhooks", "incident_ids")
    op.drop_column("excursions", "told_peak_c")
    op.drop_column("excursions", "told_at")
