"""The tables of evaluation: states, excursions with their revisions, alerts, and the outbox."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
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
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

from telemetry.tables import Identifier, Instant, metadata


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


ischema_names["xid8"] = TransactionId  # so that alembic recognizes it when it compares

evaluations = Table(
    "evaluations",
    metadata,
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("evaluate_at", Instant, comment="the next deadline; null: only new readings make it due"),
    Column("evaluated_at", Instant),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error", Text, comment="of the last try, where it failed"),
    Index(None, "evaluate_at", postgresql_where=text("evaluate_at IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
    comment="one row a shipment; its lock is the right to evaluate it",
)

evaluation_states = Table(
    "evaluation_states",
    metadata,
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("device_id", Identifier, nullable=False),
    Column("plan_revision", Integer, nullable=False),
    Column("through", Instant, comment="measured_at of the last reading folded in"),
    Column("state", JSONB, nullable=False),
    PrimaryKeyConstraint("shipment_id", "device_id"),
    postgresql_with={"fillfactor": "70"},
    comment="folded state, so that in-order data costs only itself; losing it costs time, never correctness",
)


evaluation_safe_points = Table(
    "evaluation_safe_points",
    metadata,
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("device_id", Identifier, nullable=False),
    Column("seen", Instant, nullable=False, comment="measured_at of the last reading folded into the state"),
    Column("plan_revision", Integer, nullable=False),
    Column("state", JSONB, nullable=False),
    PrimaryKeyConstraint("shipment_id", "device_id", "seen"),
    comment="folded states along a trace: late data is folded from the last one before it, not from the start",
)


def _excursion_fields() -> list[Column[Any]]:
    return [
        Column("side", Text, nullable=False),
        Column("start_at", Instant, nullable=False),
        Column("end_at", Instant),
        Column("ended_by", Text),
        Column("peak_c", Double, nullable=False),
        Column("severity", Text, nullable=False),
        Column("has_gap", Boolean, nullable=False),
        Column("state", Text, nullable=False),
        Column("reason", Text, nullable=False, comment="why this revision was made"),
        Column("superseded_by", Uuid),
        Column("recorded_at", Instant, nullable=False),
    ]


excursions = Table(
    "excursions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False, index=True),
    Column("device_id", Identifier, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("opened_at", Instant, nullable=False, comment="when we first knew of it"),
    *_excursion_fields(),
    Index(None, "start_at", "id"),
    Index(
        "excursions_one_open_key",
        "shipment_id",
        "device_id",
        unique=True,
        postgresql_where=text("state = 'open'"),
    ),
)

excursion_revisions = Table(
    "excursion_revisions",
    metadata,
    Column("excursion_id", Uuid, ForeignKey("excursions.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    *_excursion_fields(),
    PrimaryKeyConstraint("excursion_id", "revision"),
    comment="every state an excursion was ever known in; nothing is deleted",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), comment="null: the whole fleet"),
    Column("subject", Text, nullable=False, comment="what it is about, as kind:id; one alert for each"),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("device_id", Identifier),
    Column("excursion_id", Uuid, ForeignKey("excursions.id"), index=True),
    Column("message", Text, nullable=False),
    Column("since", Instant, nullable=False, comment="event time: when the condition began"),
    Column("until", Instant, comment="event time: when the condition ended"),
    Column("withdrawn", Boolean, nullable=False, comment="it turned out that the condition never was"),
    Column("details", JSONB, nullable=False, server_default="{}", comment="figures, under names with units"),
    Column("raised_at", Instant, nullable=False, comment="when we first knew of it"),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", Text),
    Column("resolved_at", Instant),
    Column("revision", Integer, nullable=False, server_default="1"),
    UniqueConstraint("shipment_id", "subject"),
    Index("alerts_fleet_subject_key", "subject", unique=True, postgresql_where=text("shipment_id IS NULL")),
    Index(None, "raised_at", "id"),
    Index(None, "state"),
)

alert_revisions = Table(
    "alert_revisions",
    metadata,
    Column("alert_id", Uuid, ForeignKey("alerts.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("withdrawn", Boolean, nullable=False),
    Column("details", JSONB, nullable=False, server_default="{}"),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", Text),
    Column("resolved_at", Instant),
    Column("by", Text, nullable=False, comment="a key's name, or the rule"),
    Column("reason", Text),
    Column("recorded_at", Instant, nullable=False),
    PrimaryKeyConstraint("alert_id", "revision"),
    comment="every state an alert was ever in; nothing is deleted",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "transaction_id",
        TransactionId,
        nullable=False,
        server_default=text("pg_current_xact_id()"),
        comment="readers go by (transaction_id, id) below the oldest running transaction, and skip nothing",
    ),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("type", Text, nullable=False),
    Column("shipment_id", Identifier),
    Column("organization", Identifier),
    Column("data", JSONB, nullable=False),
    Index(None, "transaction_id", "id"),
    Index(None, "created_at"),
)

outbox_pruned = Table(
    "outbox_pruned",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("transaction_id", TransactionId, nullable=False),
    Column("id", BigInteger, nullable=False),
    CheckConstraint("one", name="one"),
    comment="the last position whose event was removed: who reads on from before it has missed something",
)

event_sequences = Table(
    "event_sequences",
    metadata,
    Column("shipment_id", Identifier, primary_key=True),
    Column("last", BigInteger, nullable=False, comment="`sequence` of the last event that was told of it"),
    postgresql_with={"fillfactor": "70"},
    comment="counts the events of each shipment; its lock makes numbers follow commits",
)
