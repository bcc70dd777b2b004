"""Webhooks: endpoints, messages, deliveries, attempts; events of a shipment are counted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.transaction_id import TransactionId

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
IDENTIFIER = sa.Text(collation="C")

# What was told before is on the stream; webhooks begin with what is told from now on.
BEGIN_HERE = """
INSERT INTO webhook_fanout (transaction_id, outbox_id)
VALUES (pg_snapshot_xmin(pg_current_snapshot()), 0)
"""


def upgrade() -> None:
    op.create_table(
        "event_sequences",
        sa.Column("shipment_id", IDENTIFIER, nullable=False),
        sa.Column(
            "last", sa.BigInteger, nullable=False, comment="`sequence` of the last event that was told of it"
        ),
        sa.PrimaryKeyConstraint("shipment_id", name="event_sequences_pkey"),
        postgresql_with={"fillfactor": "70"},
        comment="counts the events of each shipment; its lock makes numbers follow commits",
    )
    _make_webhooks()
    _make_fanout()
    _make_messages()
    _make_deliveries()


def _make_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organization", IDENTIFIER, comment="null: the operating organization's"),
        sa.Column(
            "sees_shipment_ids",
            postgresql.ARRAY(sa.Text),
            comment="those that the key was bound to which made it; null: no bound",
        ),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("events", postgresql.ARRAY(sa.Text), comment="null: all types"),
        sa.Column("min_severity", sa.Text, comment="of excursions and alerts; null: any"),
        sa.Column("shipment_ids", postgresql.ARRAY(sa.Text), comment="null: all that it may see"),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret", sa.LargeBinary),
        sa.Column("previous_secret_until", INSTANT, comment="until then both sign"),
        sa.Column(
            "state", sa.Text, server_default="active", nullable=False, comment="active, paused or disabled"
        ),
        sa.Column("disabled_reason", sa.Text, comment="gone or failing"),
        sa.Column("state_changed_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.Column(
            "failures",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="attempts that failed since the last success",
        ),
        sa.Column("failing_since", INSTANT),
        sa.Column("gone_at", INSTANT, comment="when it last answered 410"),
        sa.Column("hold_until", INSTANT, comment="nothing is sent before: it asked for that, or it fails"),
        sa.Column("warned_at", INSTANT, comment="when its owner was told that it fails"),
        sa.Column("last_success_at", INSTANT, comment="to within a minute"),
        sa.Column("created_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("deleted_at", INSTANT),
        sa.Column(
            "since_transaction",
            TransactionId,
            server_default=sa.text("pg_snapshot_xmin(pg_current_snapshot())"),
            nullable=False,
            comment="it gets the events of this and later transactions: of all that were not over when it was made",
        ),
        sa.ForeignKeyConstraint(["organization"], ["organizations.slug"], name="webhooks_organization_fkey"),
        sa.PrimaryKeyConstraint("id", name="webhooks_pkey"),
    )
    op.create_index("webhooks_created_at_id_idx", "webhooks", ["created_at", "id"])
    op.create_index("webhooks_organization_idx", "webhooks", ["organization"])


def _make_fanout() -> None:
    op.create_table(
        "webhook_fanout",
        sa.Column("one", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("transaction_id", TransactionId, nullable=False),
        sa.Column("outbox_id", sa.BigInteger, nullable=False),
        sa.CheckConstraint("one", name="webhook_fanout_one_check"),
        sa.PrimaryKeyConstraint("one", name="webhook_fanout_pkey"),
        comment="up to where the outbox is handed on; its lock is the right to do so",
    )
    op.execute(BEGIN_HERE)


def _make_messages() -> None:
    op.create_table(
        "webhook_messages",
        sa.Column("id", sa.Text, nullable=False, comment="the webhook-id"),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("shipment_id", IDENTIFIER),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="the same bytes over all tries"),
        sa.PrimaryKeyConstraint("id", name="webhook_messages_pkey"),
        comment="what is sent, once for all endpoints",
    )
    op.create_index("webhook_messages_created_at_idx", "webhook_messages", ["created_at"])


def _make_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("webhook_id", sa.Uuid, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column(
            "state",
            sa.Text,
            server_default="waiting",
            nullable=False,
            comment="waiting, delivered or exhausted",
        ),
        sa.Column(
            "tries",
            sa.SmallInteger,
            server_default="0",
            nullable=False,
            comment="since it was last begun with",
        ),
        sa.Column(
            "next_at",
            INSTANT,
            nullable=False,
            comment="when it is due; while it is being tried, when the lease ends",
        ),
        sa.Column(
            "lease",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="fencing token: grows with each claim",
        ),
        sa.Column("created_at", INSTANT, nullable=False, comment="of the event"),
        sa.Column("first_tried_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="webhook_deliveries_pkey"),
        sa.UniqueConstraint("message_id", "webhook_id", name="webhook_deliveries_message_id_webhook_id_key"),
        comment="a row for each endpoint and message",
    )
    op.create_index(
        "webhook_deliveries_due_key",
        "webhook_deliveries",
        ["webhook_id", "next_at", "id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "webhook_deliveries_webhook_id_created_at_id_idx",
        "webhook_deliveries",
        ["webhook_id", "created_at", "id"],
    )
    op.create_index("webhook_deliveries_created_at_idx", "webhook_deliveries", ["created_at"])
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.Integer, nullable=False, comment="of the claim that it was made under"),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("status", sa.SmallInteger, comment="null: no answer"),
        sa.Column("error", sa.Text),
        sa.Column("answer", sa.LargeBinary, nullable=False, comment="its first 20 kB"),
        sa.Column(
            "counted",
            sa.Boolean,
            nullable=False,
            comment="false: the lease had ended, and somebody else had it",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "lease", name="webhook_attempts_pkey"),
    )


def downgrade() -> None:
    for table in (
        "webhook_attempts",
        "webhook_deliveries",
        "webhook_messages",
        "webhook_fanout",
        "webhooks",
        "event_sequences",
    ):
        op.drop_table(table)
