"""The tables of webhooks: endpoints, messages, deliveries and attempts."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from telemetry.tables import Identifier, Instant, metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "organization",
        Identifier,
        ForeignKey("organizations.slug"),
        comment="null: the operating organization's",
    ),
    Column(
        "sees_shipment_ids",
        ARRAY(Text),
        comment="those that the key was bound to which made it; null: no bound",
    ),
    Column(
        "key_prefix",
        Text,
        index=True,
        comment="the key that it belongs to and ends with; null: it belongs to an organization, and lives on",
    ),
    Column("ends_at", Instant, comment="when that key expires or was revoked: from then on nothing is sent"),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("events", ARRAY(Text), comment="null: all types"),
    Column("min_severity", Text, comment="of excursions and alerts; null: any"),
    Column("shipment_ids", ARRAY(Text), comment="null: all that it may see"),
    Column("incident_ids", ARRAY(Text), comment="null: whatever it is about"),
    Column(
        "peaks",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="whether it is sent that the peak of an excursion moved",
    ),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("previous_secret_until", Instant, comment="until then both sign"),
    Column("state", Text, nullable=False, server_default="active", comment="active, paused or disabled"),
    Column("disabled_reason", Text, comment="gone, failing or key_ended"),
    Column("state_changed_at", Instant, nullable=False, server_default=func.now()),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default="0",
        comment="attempts that failed since the last success",
    ),
    Column("failing_since", Instant),
    Column("gone_at", Instant, comment="when it last answered 410"),
    Column("hold_until", Instant, comment="nothing is sent before: it asked for that, or it fails"),
    Column("hold_set_at", Instant, comment="as of when that was decided"),
    Column("warned_at", Instant, comment="when its owner was told that it fails"),
    Column("last_success_at", Instant, comment="to within a minute"),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("deleted_at", Instant),
    Column(
        "dropped",
        Integer,
        nullable=False,
        server_default="0",
        comment="events removed after their retention that it never accepted, until it is told of them",
    ),
    Column("dropped_from", Instant, comment="when the first of them was made"),
    Column("dropped_until", Instant, comment="when the last of them was made"),
    Column(
        "since_position",
        BigInteger,
        nullable=False,
        server_default=text("outbox_end()"),
        comment="it gets the events after this one: the last there was when it was made",
    ),
    Index(None, "created_at", "id"),
    Index(None, "organization"),
)

webhook_fanout = Table(
    "webhook_fanout",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("position", BigInteger, nullable=False),
    CheckConstraint("one", name="one"),
    comment="up to where the outbox is handed on; its lock is the right to do so",
)

webhook_messages = Table(
    "webhook_messages",
    metadata,
    Column("id", Text, primary_key=True, comment="the webhook-id"),
    Column("type", Text, nullable=False),
    Column("shipment_id", Identifier),
    Column("created_at", Instant, nullable=False),
    Column("body", Text, nullable=False, comment="the same bytes over all tries"),
    Index(None, "created_at"),
    comment="what is sent, once for all endpoints",
)

# No foreign keys below: they would cost as much again as the rows, and only this package writes them.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("webhook_id", Uuid, nullable=False),
    Column("message_id", Text, nullable=False),
    Column(
        "state", Text, nullable=False, server_default="waiting", comment="waiting, delivered or exhausted"
    ),
    Column("tries", SmallInteger, nullable=False, server_default="0", comment="since it was last begun with"),
    Column(
        "next_at",
        Instant,
        nullable=False,
        comment="when it is due; while it is being tried, when the lease ends",
    ),
    Column(
        "set_at", Instant, nullable=False, server_default=func.now(), comment="as of when that was decided"
    ),
    Column(
        "lease", Integer, nullable=False, server_default="0", comment="fencing token: grows with each claim"
    ),
    Column("created_at", Instant, nullable=False, comment="of the event"),
    Column("first_tried_at", Instant),
    Column("finished_at", Instant),
    UniqueConstraint("message_id", "webhook_id"),
    Index(
        "webhook_deliveries_due_key",
        "webhook_id",
        "next_at",
        "id",
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(None, "webhook_id", "created_at", "id"),
    Index(None, "created_at"),
    comment="a row for each endpoint and message",
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("lease", Integer, nullable=False, comment="of the claim that it was made under"),
    Column("started_at", Instant, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("status", SmallInteger, comment="null: no answer"),
    Column("error", Text),
    Column("answer", LargeBinary, nullable=False, comment="its first 20 kB"),
    Column(
        "counted", Boolean, nullable=False, comment="false: the lease had ended, and somebody else had it"
    ),
    PrimaryKeyConstraint("delivery_id", "lease"),
)
