"""The tables of escalation: contacts, policies, handovers, progress by incident, and every decision to tell somebody."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from telemetry.tables import Identifier, Instant, metadata, revisioned_columns, revisions_table

contacts = Table(
    "contacts",
    metadata,
    Column("contact_id", Identifier, primary_key=True),
    Column(
        "organization",
        Identifier,
        ForeignKey("organizations.slug"),
        index=True,
        comment="null: the operating organization's",
    ),
    Column("name", Text, nullable=False),
    Column(
        "parties", ARRAY(Text), nullable=False, server_default="{}", comment="as handovers name whom it is of"
    ),
    Column(
        "places", ARRAY(Text), nullable=False, server_default="{}", comment="sites or places that it is of"
    ),
    Column("timezone", Text, nullable=False, comment="IANA name"),
    Column("office_hours", JSONB(none_as_null=True), comment="null: always there"),
    Column(
        "channels",
        JSONB,
        nullable=False,
        comment="[{channel, address, min_severity, outside_office_hours}]",
    ),
    Column("phone", Text, comment="for people to ring: nothing is sent there"),
    Column("fallback", Identifier, comment="the contact to ask outside its hours"),
    Column(
        "last_resort",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="is told of what nobody else can be told of",
    ),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    *revisioned_columns(),
)

contact_revisions = revisions_table(contacts, "contact")

policies = Table(
    "policies",
    metadata,
    Column("policy_id", Identifier, primary_key=True),
    Column(
        "organization", Identifier, ForeignKey("organizations.slug"), index=True, comment="null: every one"
    ),
    Column("origin", Text, comment="of the lane; null: any"),
    Column("destination", Text, comment="of the lane; null: any"),
    Column("min_severity", Text, nullable=False),
    Column("steps", JSONB, nullable=False, comment="who is told after how long, and by which channels"),
    Column(
        "group_wait_s", Integer, nullable=False, comment="before the first message, for what belongs to it"
    ),
    Column("repeat_s", Integer, nullable=False),
    Column(
        "ack_expires_s",
        Integer,
        nullable=False,
        comment="after so long without action an acknowledgement ends",
    ),
    Column("flood_count", Integer, nullable=False, comment="more for one recipient become a digest"),
    Column("flood_within_s", Integer, nullable=False),
    Column(
        "tell_destination",
        JSONB(none_as_null=True),
        comment="{after_s, kinds, min_severity}; null: never by itself",
    ),
    Column(
        "tell_taken",
        Text,
        server_default="critical",
        comment="least severity of which those who were asked are told who is on it; null: never",
    ),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    *revisioned_columns(),
)

policy_revisions = revisions_table(policies, "policy")

handovers = Table(
    "handovers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("from_party", Text, nullable=False),
    Column("to_party", Text, nullable=False),
    Column("to_contact", Identifier, comment="null: whoever is the party's contact"),
    Column("place", Text),
    Column("lat", Double),
    Column("lon", Double),
    Column("note", Text),
    Column("override_reason", Text, comment="why it is on record although it does not fit; null: it fits"),
    Column("held_by", Text, comment="who held it by the record, where that is not who gave it; null: it is"),
    Column("recorded_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("by", Text, nullable=False, comment="a key's name"),
    UniqueConstraint("shipment_id", "at", "to_party"),
    comment="the latest by `at` says who holds it; a trigger refuses that any is changed or deleted",
)

escalations = Table(
    "escalations",
    metadata,
    Column("incident_id", Uuid, ForeignKey("incidents.id"), primary_key=True),
    Column("phase", Text, nullable=False, comment="waiting, climbing, quiet or over"),
    Column(
        "nobody_to_tell",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="no contact could be found for it",
    ),
    Column("next_at", Instant, comment="when somebody is told next; null: nobody will be"),
    Column("state", JSONB, nullable=False, comment="how far it has climbed, and who was told"),
    Index("escalations_nobody_to_tell_idx", "incident_id", postgresql_where=text("nobody_to_tell")),
    postgresql_with={"fillfactor": "70"},
    comment="where each incident stands on its way to people",
)

_OCCASION = ("incident_id", "contact_id", "channel", "address", "purpose", "level", "episode", "repeat")

notifications = Table(
    "notifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", Identifier, nullable=False, comment="a shipment; empty: the whole fleet"),
    Column("incident_id", Uuid, ForeignKey("incidents.id"), comment="null: a digest, or a test"),
    Column("alert_ids", ARRAY(Uuid), nullable=False, server_default="{}"),
    Column("organization", Identifier),
    Column("drill", Boolean, nullable=False, server_default=text("false")),
    Column("contact_id", Text, comment="null: nobody in particular is not told"),
    Column("contact_name", Text),
    Column("channel", Text, comment="email, chat or webhook"),
    Column("address", Text),
    Column("timezone", Text, comment="of the contact"),
    Column("policy_id", Identifier),
    Column("policy_revision", Integer, comment="0: built in"),
    Column(
        "purpose",
        Text,
        nullable=False,
        comment="escalation, handover, assigned, destination, taken, resolved, withdrawn, digest or test",
    ),
    Column("level", Integer, nullable=False, server_default="0", comment="the step of the policy, from 1"),
    Column("episode", Integer, nullable=False, server_default="1", comment="counts its firings"),
    Column("repeat", Integer, nullable=False, server_default="0", comment="counts reminders"),
    Column("reason", Text, nullable=False, comment="why it is sent, or why not"),
    Column("detail", Text, comment="the reason in words"),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False, comment="pending, sent, failed, not_sent or digested"),
    Column("decided_at", Instant, nullable=False),
    Column("send_at", Instant, comment="not before; null: not sent by itself"),
    Column("digest_id", Uuid, comment="the digest that it is part of"),
    Column("facts", JSONB, nullable=False, server_default="{}", comment="what was known when it was decided"),
    Column("message", JSONB(none_as_null=True), comment="as it was sent"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_until", Instant),
    Column(
        "lease_token",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="fencing: grows with each claim",
    ),
    Column(
        "set_at",
        Instant,
        nullable=False,
        server_default=func.now(),
        comment="as of when `send_at` and `lease_until` were decided",
    ),
    Column("sent_at", Instant),
    Column("error", Text, comment="of the last attempt"),
    Index(None, "scope", "decided_at"),
    Index(None, "decided_at", "id"),
    Index("notifications_due_idx", "send_at", "id", postgresql_where=text("state = 'pending'")),
    Index(
        "notifications_recipient_idx",
        "contact_id",
        "decided_at",
        postgresql_where=text("contact_id IS NOT NULL"),
    ),
    Index("notifications_failed_idx", "decided_at", "id", postgresql_where=text("state = 'failed'")),
    Index("notifications_tests_idx", "address", "decided_at", postgresql_where=text("purpose = 'test'")),
    Index(None, "digest_id", postgresql_where=text("digest_id IS NOT NULL")),
    Index(
        "notifications_once_key",
        *_OCCASION,
        unique=True,
        postgresql_where=text("state <> 'not_sent' AND incident_id IS NOT NULL"),
    ),
    comment="every decision to tell somebody, or not to, with its reason",
)

notification_attempts = Table(
    "notification_attempts",
    metadata,
    Column("notification_id", Uuid, ForeignKey("notifications.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("took_s", Double, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text),
    PrimaryKeyConstraint("notification_id", "number"),
)
