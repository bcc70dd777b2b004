"""Refused messages are kept by their first bytes, hash and length, within a quota for each origin and reason.

Webhooks know the key that they end with. Security events are on record. Messages that are stored whole stay as they
are until their retention ends: nothing is rewritten, and the new columns say by NULL that they are whole.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

Instant = TIMESTAMP(timezone=True)

# Those made by keys that are bound to shipments and belong to no organization end with these keys, also where that
# was long ago.
OF_KEYS = """
UPDATE webhooks AS w SET key_prefix = k.prefix, ends_at = least(k.expires_at, k.revoked_at)
FROM api_keys AS k
WHERE w.created_by = 'key:' || k.prefix AND k.organization IS NULL AND k.shipment_ids IS NOT NULL
"""

APPEND_ONLY = """
CREATE FUNCTION security_events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('dewarwatch.retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'security events are never changed, and removed by their retention only';
END
$$
"""
GUARD_ROWS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON security_events
FOR EACH ROW EXECUTE FUNCTION security_events_are_append_only()
"""
GUARD_ALL = """
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON security_events
FOR EACH STATEMENT EXECUTE FUNCTION security_events_are_append_only()
"""


def upgrade() -> None:
    _refusals()
    _webhooks()
    _security_events()


def _refusals() -> None:
    op.alter_column("refused_messages", "payload", comment="the first bytes of a long one")
    op.add_column(
        "refused_messages",
        sa.Column(
            "size",
            sa.Integer,
            comment="length of the whole in bytes; null: before that was cut, and it is whole",
        ),
    )
    op.add_column(
        "refused_messages", sa.Column("sha256", sa.LargeBinary, comment="of the whole; null where size is")
    )
    op.create_index("refused_messages_received_at_idx", "refused_messages", ["received_at"])
    op.create_table(
        "refusal_quotas",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column(
            "origin",
            sa.Text(collation="C"),
            nullable=False,
            comment="logger or HTTP caller; *: all that are not registered",
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False, comment="UTC"),
        _count("refused"),
        _count("kept"),
        _count("kept_bytes"),
        sa.Column(
            "hour", Instant, nullable=False, comment="the hour that hour_kept and hour_kept_bytes are of"
        ),
        _count("hour_kept"),
        _count("hour_kept_bytes"),
        _count("not_kept", "over the quota"),
        _count("not_kept_bytes", "of whole messages"),
        sa.Column("first_not_kept_at", Instant),
        sa.Column("last_not_kept_at", Instant),
        sa.PrimaryKeyConstraint("id", name="refusal_quotas_pkey"),
        sa.UniqueConstraint(
            "source", "origin", "reason", "day", name="refusal_quotas_source_origin_reason_day_key"
        ),
        postgresql_with={"fillfactor": "70"},
        comment="what was refused of each origin for each reason on a day, and how much of it is kept",
    )
    op.create_index("refusal_quotas_day_idx", "refusal_quotas", ["day"])
    op.alter_column(
        "refusals", "message_id", nullable=True, comment="null: stands for all that is over a quota"
    )
    op.add_column(
        "refusals",
        sa.Column(
            "reading", sa.Text, comment="the refused reading as JSON, where not all of the message is kept"
        ),
    )
    op.add_column(
        "refusals",
        sa.Column(
            "quota_id",
            sa.BigInteger,
            sa.ForeignKey("refusal_quotas.id", name="refusals_quota_id_fkey"),
            comment="the quota that is spent, where this stands for all that is over it",
        ),
    )
    op.create_index(
        "refusals_quota_id_idx",
        "refusals",
        ["quota_id"],
        unique=True,
        postgresql_where=sa.text("quota_id IS NOT NULL"),
    )


def _webhooks() -> None:
    op.add_column(
        "webhooks",
        sa.Column(
            "key_prefix",
            sa.Text,
            comment="the key that it belongs to and ends with; null: it belongs to an organization, and lives on",
        ),
    )
    op.add_column(
        "webhooks",
        sa.Column(
            "ends_at",
            Instant,
            comment="when that key expires or was revoked: from then on nothing is sent",
        ),
    )
    op.alter_column("webhooks", "disabled_reason", comment="gone, failing or key_ended")
    op.create_index("webhooks_key_prefix_idx", "webhooks", ["key_prefix"])
    op.execute(OF_KEYS)


def _security_events() -> None:
    op.create_table(
        "security_events",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column(
            "key_prefix", sa.Text, comment="of the key that was used, or that was given and is not valid"
        ),
        sa.Column("address", sa.Text, comment="where the call came from"),
        sa.Column("call", sa.Text, comment="method and address of the route"),
        sa.Column("subject", sa.Text, comment="what it was done to"),
        sa.Column("status", sa.SmallInteger, comment="what a refused call was answered with"),
        sa.Column("count", sa.Integer, nullable=False, server_default="1", comment="so many alike"),
        sa.Column("last_at", Instant, comment="of the last of them; null where there is one"),
        sa.Column("details", JSONB),
        sa.PrimaryKeyConstraint("id", name="security_events_pkey"),
        comment="the security log; a trigger lets nobody change a row, and only retention remove one",
    )
    op.create_index("security_events_at_idx", "security_events", ["at"])
    op.create_index("security_events_key_prefix_id_idx", "security_events", ["key_prefix", "id"])
    op.create_index(
        "security_events_sign_ins_idx",
        "security_events",
        ["key_prefix", "address"],
        postgresql_where=sa.text("type = 'sign_in'"),
    )
    op.execute(APPEND_ONLY)
    op.execute(GUARD_ROWS)
    op.execute(GUARD_ALL)


def _count(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment)


def downgrade() -> None:
    op.drop_table("security_events")
    op.execute("DROP FUNCTION security_events_are_append_only()")
    op.drop_index("webhooks_key_prefix_idx", "webhooks")
    op.drop_column("webhooks", "ends_at")
    op.drop_column("webhooks", "key_prefix")
    op.alter_column("webhooks", "disabled_reason", comment="gone or failing")
    op.execute("DELETE FROM refusals WHERE message_id IS NULL")
    op.drop_column("refusals", "quota_id")
    op.drop_column("refusals", "reading")
    op.alter_column("refusals", "message_id", nullable=False, comment=None)
    op.drop_table("refusal_quotas")
    op.drop_index("refused_messages_received_at_idx", "refused_messages")
    op.drop_column("refused_messages", "sha256")
    op.drop_column("refused_messages", "size")
    op.alter_column("refused_messages", "payload", comment=None)
