"""Who is told: contacts, policies, handovers, where incidents stand, and every notification with its reason."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
IDENTIFIER = sa.Text(collation="C")


def upgrade() -> None:
    _make_contacts()
    _make_contact_revisions()
    _make_policies()
    _make_policy_revisions()
    _make_handovers()
    _make_escalations()
    _make_notifications()
    _make_notification_attempts()
    op.execute(
        "CREATE TRIGGER nothing_is_forgotten BEFORE UPDATE OR DELETE OR TRUNCATE ON handovers "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()"
    )


def _make_contacts() -> None:
    op.create_table(
        "contacts",
        sa.Column("contact_id", IDENTIFIER, nullable=False),
        sa.Column("organization", IDENTIFIER, comment="null: the operating organization's"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column(
            "parties",
            postgresql.ARRAY(sa.Text),
            server_default="{}",
            nullable=False,
            comment="as handovers name whom it is of",
        ),
        sa.Column(
            "places",
            postgresql.ARRAY(sa.Text),
            server_default="{}",
            nullable=False,
            comment="sites or places that it is of",
        ),
        sa.Column("timezone", sa.Text, nullable=False, comment="IANA name"),
        sa.Column(
            "office_hours",
            postgresql.JSONB,
            nullable=True,
            comment="null: always there",
        ),
        sa.Column(
            "channels",
            postgresql.JSONB,
            nullable=False,
            comment="[{channel, address, min_severity, outside_office_hours}]",
        ),
        sa.Column("fallback", IDENTIFIER, comment="the contact to ask outside its hours"),
        sa.Column(
            "last_resort",
            sa.Boolean,
            server_default=sa.text("false"),
            nullable=False,
            comment="is told of what nobody else can be told of",
        ),
        sa.Column("active", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("revision", sa.Integer, server_default="1", nullable=False),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False, comment="a key's name"),
        sa.ForeignKeyConstraint(["organization"], ["organizations.slug"], name="contacts_organization_fkey"),
        sa.PrimaryKeyConstraint("contact_id", name="contacts_pkey"),
    )


def _make_contact_revisions() -> None:
    op.create_table(
        "contact_revisions",
        sa.Column("contact_id", IDENTIFIER, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.Column("reason", sa.Text),
        sa.Column(
            "content",
            postgresql.JSONB,
            nullable=False,
            comment="the whole row of contacts",
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.contact_id"], name="contact_revisions_contact_id_fkey"
        ),
        sa.PrimaryKeyConstraint("contact_id", "revision", name="contact_revisions_pkey"),
        comment="every state a contact was ever in; nothing is deleted",
    )


def _make_policies() -> None:
    op.create_table(
        "policies",
        sa.Column("policy_id", IDENTIFIER, nullable=False),
        sa.Column("organization", IDENTIFIER, comment="null: every one"),
        sa.Column("origin", sa.Text, comment="of the lane; null: any"),
        sa.Column("destination", sa.Text, comment="of the lane; null: any"),
        sa.Column("min_severity", sa.Text, nullable=False),
        sa.Column(
            "steps",
            postgresql.JSONB,
            nullable=False,
            comment="who is told after how long, and by which channels",
        ),
        sa.Column(
            "group_wait_s",
            sa.Integer,
            nullable=False,
            comment="before the first message, for what belongs to it",
        ),
        sa.Column("repeat_s", sa.Integer, nullable=False),
        sa.Column(
            "ack_expires_s",
            sa.Integer,
            nullable=False,
            comment="after so long without action an acknowledgement ends",
        ),
        sa.Column(
            "flood_count", sa.Integer, nullable=False, comment="more for one recipient become a digest"
        ),
        sa.Column("flood_within_s", sa.Integer, nullable=False),
        sa.Column(
            "tell_destination",
            postgresql.JSONB,
            nullable=True,
            comment="{after_s, kinds, min_severity}; null: never by itself",
        ),
        sa.Column("active", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("revision", sa.Integer, server_default="1", nullable=False),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False, comment="a key's name"),
        sa.ForeignKeyConstraint(["organization"], ["organizations.slug"], name="policies_organization_fkey"),
        sa.PrimaryKeyConstraint("policy_id", name="policies_pkey"),
    )


def _make_policy_revisions() -> None:
    op.create_table(
        "policy_revisions",
        sa.Column("policy_id", IDENTIFIER, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.Column("reason", sa.Text),
        sa.Column(
            "content",
            postgresql.JSONB,
            nullable=False,
            comment="the whole row of policies",
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.policy_id"], name="policy_revisions_policy_id_fkey"
        ),
        sa.PrimaryKeyConstraint("policy_id", "revision", name="policy_revisions_pkey"),
        comment="every state a policy was ever in; nothing is deleted",
    )


def _make_handovers() -> None:
    op.create_table(
        "handovers",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("shipment_id", IDENTIFIER, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("from_party", sa.Text, nullable=False),
        sa.Column("to_party", sa.Text, nullable=False),
        sa.Column("to_contact", IDENTIFIER, comment="null: whoever is the party's contact"),
        sa.Column("place", sa.Text),
        sa.Column("lat", sa.Double),
        sa.Column("lon", sa.Double),
        sa.Column("note", sa.Text),
        sa.Column("recorded_at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name="handovers_shipment_id_fkey"
        ),
        sa.PrimaryKeyConstraint("id", name="handovers_pkey"),
        sa.UniqueConstraint("shipment_id", "at", "to_party", name="handovers_shipment_id_at_to_party_key"),
        comment="the latest by `at` says who holds it; a trigger refuses that any is changed or deleted",
    )


def _make_escalations() -> None:
    op.create_table(
        "escalations",
        sa.Column("incident_id", sa.Uuid, nullable=False),
        sa.Column("phase", sa.Text, nullable=False, comment="waiting, climbing, quiet or over"),
        sa.Column(
            "nobody_to_tell",
            sa.Boolean,
            server_default=sa.text("false"),
            nullable=False,
            comment="no contact could be found for it",
        ),
        sa.Column("next_at", INSTANT, comment="when somebody is told next; null: nobody will be"),
        sa.Column(
            "state",
            postgresql.JSONB,
            nullable=False,
            comment="how far it has climbed, and who was told",
        ),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="escalations_incident_id_fkey"),
        sa.PrimaryKeyConstraint("incident_id", name="escalations_pkey"),
        comment="where each incident stands on its way to people",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "escalations_nobody_to_tell_idx",
        "escalations",
        ["incident_id"],
        postgresql_where=sa.text("nobody_to_tell"),
    )


def _make_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("scope", IDENTIFIER, nullable=False, comment="a shipment; empty: the whole fleet"),
        sa.Column("incident_id", sa.Uuid, comment="null: a digest, or a test"),
        sa.Column("alert_ids", postgresql.ARRAY(sa.Uuid), server_default="{}", nullable=False),
        sa.Column("organization", IDENTIFIER),
        sa.Column("drill", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("contact_id", sa.Text, comment="null: nobody in particular is not told"),
        sa.Column("contact_name", sa.Text),
        sa.Column("channel", sa.Text, comment="email, chat or webhook"),
        sa.Column("address", sa.Text),
        sa.Column("timezone", sa.Text, comment="of the contact"),
        sa.Column("policy_id", IDENTIFIER),
        sa.Column("policy_revision", sa.Integer, comment="0: built in"),
        sa.Column(
            "purpose",
            sa.Text,
            nullable=False,
            comment="escalation, handover, assigned, destination, resolved, digest or test",
        ),
        sa.Column(
            "level", sa.Integer, server_default="0", nullable=False, comment="the step of the policy, from 1"
        ),
        sa.Column("episode", sa.Integer, server_default="1", nullable=False, comment="counts its firings"),
        sa.Column("repeat", sa.Integer, server_default="0", nullable=False, comment="counts reminders"),
        sa.Column("reason", sa.Text, nullable=False, comment="why it is sent, or why not"),
        sa.Column("detail", sa.Text, comment="the reason in words"),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, comment="pending, sent, failed, not_sent or digested"),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.Column("send_at", INSTANT, comment="not before; null: not sent by itself"),
        sa.Column("digest_id", sa.Uuid, comment="the digest that it is part of"),
        sa.Column(
            "facts",
            postgresql.JSONB,
            server_default="{}",
            nullable=False,
            comment="what was known when it was decided",
        ),
        sa.Column(
            "message",
            postgresql.JSONB,
            nullable=True,
            comment="as it was sent",
        ),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("lease_until", INSTANT),
        sa.Column(
            "lease_token",
            sa.BigInteger,
            server_default="0",
            nullable=False,
            comment="fencing: grows with each claim",
        ),
        sa.Column("sent_at", INSTANT),
        sa.Column("error", sa.Text, comment="of the last attempt"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="notifications_incident_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="notifications_pkey"),
        comment="every decision to tell somebody, or not to, with its reason",
    )
    op.create_index("notifications_decided_at_id_idx", "notifications", ["decided_at", "id"])
    op.create_index(
        "notifications_digest_id_idx",
        "notifications",
        ["digest_id"],
        postgresql_where=sa.text("digest_id IS NOT NULL"),
    )
    op.create_index(
        "notifications_due_idx",
        "notifications",
        ["send_at", "id"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "notifications_once_key",
        "notifications",
        ["incident_id", "contact_id", "channel", "address", "purpose", "level", "episode", "repeat"],
        unique=True,
        postgresql_where=sa.text("state <> 'not_sent' AND incident_id IS NOT NULL"),
    )
    op.create_index(
        "notifications_recipient_idx",
        "notifications",
        ["contact_id", "decided_at"],
        postgresql_where=sa.text("state <> 'not_sent'"),
    )
    op.create_index("notifications_scope_decided_at_idx", "notifications", ["scope", "decided_at"])


def _make_notification_attempts() -> None:
    op.create_table(
        "notification_attempts",
        sa.Column("notification_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("took_s", sa.Double, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notifications.id"], name="notification_attempts_notification_id_fkey"
        ),
        sa.PrimaryKeyConstraint("notification_id", "number", name="notification_attempts_pkey"),
    )


def downgrade() -> None:
    for table in (
        "notification_attempts",
        "notifications",
        "escalations",
        "handovers",
        "policy_revisions",
        "policies",
        "contact_revisions",
        "contacts",
    ):
        op.drop_table(table)
