"""The tables of evaluation: states, excursions with their revisions, alerts, incidents, and the outbox."""

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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from telemetry.tables import Identifier, Instant, metadata

evaluations = Table(
    "evaluations",
    metadata,
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("evaluate_at", Instant, comment="the next deadline; null: only new readings make it due"),
    Column("set_at", Instant, comment="as of when that was decided, by the database's clock"),
    Column("evaluated_at", Instant),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error", Text, comment="of the last try, where it failed"),
    Column(
        "judged_revision",
        Integer,
        nullable=False,
        server_default="0",
        comment="of the shipment, up to which it is judged what people did",
    ),
    Index(None, "evaluate_at", postgresql_where=text("evaluate_at IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
    comment="one row a shipment; written only by whoever evaluates it",
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
        Column(
            "act",
            JSONB(none_as_null=True),
            comment="{step, by, at, reason} of a person, where this revision takes away from what was on record",
        ),
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
    Column(
        "told_at", Instant, comment="as of when it was last told of; null: by a version that did not note it"
    ),
    Column("told_peak_c", Double, comment="the peak that was told then"),
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
    Column("owner", Text, comment="who sees to it; null: nobody yet"),
    Column("assigned_at", Instant),
    Column("assigned_by", Text),
    Column("snoozed_until", Instant),
    Column("snoozed_by", Text),
    Column("snooze_reason", Text),
    Column("last_action_at", Instant, comment="when a person last did something about it"),
    Column("incident_id", Uuid, ForeignKey("incidents.id"), index=True, comment="null: not yet looked at"),
    Column("revision", Integer, nullable=False, server_default="1"),
    UniqueConstraint("shipment_id", "subject"),
    Index("alerts_fleet_subject_key", "subject", unique=True, postgresql_where=text("shipment_id IS NULL")),
    Index(None, "raised_at", "id"),
    Index(None, "state"),
    comment="a trigger leaves a mark in attention_marks with all that people may have to be told of",
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
    Column("owner", Text),
    Column("snoozed_until", Instant),
    Column("snooze_reason", Text),
    Column("by", Text, nullable=False, comment="a key's name, the rule, or the timer"),
    Column("reason", Text),
    Column("note", Text, comment="why, in the words of the person"),
    Column("recorded_at", Instant, nullable=False),
    PrimaryKeyConstraint("alert_id", "revision"),
    comment="every state an alert was ever in; a trigger refuses that any is changed or deleted",
)

alert_comments = Table(
    "alert_comments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("alert_id", Uuid, ForeignKey("alerts.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index(None, "alert_id", "at"),
    comment="what people wrote; a trigger refuses that any is changed or deleted",
)


def _incident_fields() -> list[Column[Any]]:
    return [
        Column("state", Text, nullable=False, comment="open or closed"),
        Column("kind", Text, nullable=False, comment="of the probable cause"),
        Column("severity", Text, nullable=False, comment="the worst of its unresolved alerts"),
        Column("headline", Text, nullable=False, comment="what the probable cause is, in words"),
        Column("next_action", Text, nullable=False, comment="what to do about the worst of it"),
        Column("closed_at", Instant),
        Column("merged_into", Uuid, comment="it turned out to be of one cause with that one"),
    ]


incidents = Table(
    "incidents",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), comment="null: the whole fleet"),
    Column("organization", Identifier),
    Column("opened_at", Instant, nullable=False, comment="when we first knew of it"),
    Column(
        "cause_alert_id",
        Uuid,
        ForeignKey("alerts.id", name="incidents_cause_alert_id_fkey", use_alter=True),
        nullable=False,
    ),
    *_incident_fields(),
    Column("revision", Integer, nullable=False, server_default="1"),
    Index(None, "shipment_id"),
    Index(None, "opened_at", "id"),
    Index("incidents_open_idx", "shipment_id", postgresql_where=text("state = 'open'")),
    comment="alerts of one probable cause",
)

incident_revisions = Table(
    "incident_revisions",
    metadata,
    Column("incident_id", Uuid, ForeignKey("incidents.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("cause_alert_id", Uuid, nullable=False),
    *_incident_fields(),
    Column("alert_ids", ARRAY(Uuid), nullable=False, comment="those that belonged to it"),
    Column("reason", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    PrimaryKeyConstraint("incident_id", "revision"),
    comment="every state an incident was ever in; a trigger refuses that any is changed or deleted",
)

attention = Table(
    "attention",
    metadata,
    Column("scope", Identifier, primary_key=True, comment="a shipment; empty: the whole fleet"),
    Column("attend_at", Instant, comment="the next deadline; null: only a mark makes it due"),
    Column("set_at", Instant, comment="as of when that was decided, by the database's clock"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error", Text, comment="of the last try, where it failed"),
    Index(None, "attend_at", postgresql_where=text("attend_at IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
    comment="one row a scope; written only by whoever attends to its alerts",
)

attention_marks = Table(
    "attention_marks",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("scope", Identifier, nullable=False, index=True),
    Column("marked_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    comment="something changed that people may have to be told of; written by a trigger on alerts",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "position",
        BigInteger,
        comment="given at commit, in the order of commits: readers go by it, and skip nothing",
    ),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("type", Text, nullable=False),
    Column("shipment_id", Identifier),
    Column("organization", Identifier),
    Column("data", JSONB, nullable=False),
    Index(None, "position", unique=True, postgresql_where=text("position IS NOT NULL")),
    Index(None, "created_at"),
    Index(
        "outbox_openings_idx",
        text("(data ->> 'id')"),
        postgresql_where=text("type = 'excursion.opened'"),
    ),
)

outbox_pruned = Table(
    "outbox_pruned",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("position", BigInteger, nullable=False),
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

service_faults = Table(
    "service_faults",
    metadata,
    Column("part", Text, nullable=False),
    Column("process", Text, nullable=False, comment="host:pid"),
    Column("since", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False, comment="a process that is gone says nothing any more"),
    Column("problem", Text, nullable=False),
    Column("critical", Boolean, nullable=False),
    PrimaryKeyConstraint("part", "process"),
    comment="what does not work, as each process finds it; alerts follow it",
)
