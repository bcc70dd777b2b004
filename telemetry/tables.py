"""The tables of telemetry and the registry, and the MetaData that all tables of the service share."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB, TIMESTAMP

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

Instant = TIMESTAMP(timezone=True)
Identifier = Text(collation="C")
"""Ids are compared byte by byte, which is faster than by language and the same on every server."""

organizations = Table(
    "organizations",
    metadata,
    Column("slug", Identifier, primary_key=True),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
)


def revisioned_columns() -> list[Column[Any]]:
    """Return the common columns of tables with revisions: a note, the revision, and when and by whom it was made."""
    return [
        Column("note", Text),
        Column("revision", Integer, nullable=False, server_default="1"),
        Column("created_at", Instant, nullable=False, server_default=func.now()),
        Column("updated_at", Instant, nullable=False, server_default=func.now()),
        Column("updated_by", Text, nullable=False, comment="a key's name"),
    ]


def revisions_table(table: Table, noun: str) -> Table:
    """Return the table that stores every revision of the rows of `table`, whose key is `<noun>_id`."""
    key = f"{noun}_id"
    return Table(
        f"{noun}_revisions",
        metadata,
        Column(key, Identifier, ForeignKey(table.c[key]), nullable=False),
        Column("revision", Integer, nullable=False),
        Column("recorded_at", Instant, nullable=False),
        Column("by", Text, nullable=False, comment="a key's name"),
        Column("reason", Text),
        Column("content", JSONB, nullable=False, comment=f"the whole row of {table.name}"),
        PrimaryKeyConstraint(key, "revision"),
        comment=f"every state a {noun} was ever in; nothing is deleted",
    )


devices = Table(
    "devices",
    metadata,
    Column("device_id", Identifier, primary_key=True),
    Column("model", Text),
    Column("interval_s", Double),
    Column("calibration_due", Instant, comment="of the newest certificate, where there is one"),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("retired_at", Instant, comment="null: in use"),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_by", Text, comment="a key's name; null: registered before that was kept"),
    Column(
        "resolution_c", Double, comment="by how much two copies of one temperature may differ; null: as usual"
    ),
)

device_revisions = revisions_table(devices, "device")

device_calibrations = Table(
    "device_calibrations",
    metadata,
    Column("device_id", Identifier, ForeignKey("devices.device_id"), nullable=False),
    Column("certificate", Text, nullable=False, comment="its number"),
    Column("calibrated_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("laboratory", Text),
    Column("sha256", Text, comment="of the document, in hexadecimal"),
    Column("note", Text),
    Column("recorded_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("by", Text, nullable=False, comment="a key's name"),
    PrimaryKeyConstraint("device_id", "certificate"),
    comment="rows are never changed or deleted; the newest by calibrated_at is calibration_due of the device",
)

dewars = Table(
    "dewars",
    metadata,
    Column("dewar_id", Identifier, primary_key=True),
    Column("model", Text),
    Column("hold_time_h", Double),
    Column("ln2_capacity_kg", Double),
    Column("last_charged_at", Instant),
    Column("qualified_until", Instant),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_by", Text, comment="a key's name; null: registered before that was kept"),
)

dewar_revisions = revisions_table(dewars, "dewar")

dewar_charges = Table(
    "dewar_charges",
    metadata,
    Column("dewar_id", Identifier, ForeignKey("dewars.dewar_id"), nullable=False),
    Column("charged_at", Instant, nullable=False),
    Column("ln2_kg", Double, comment="nitrogen in it after the charge"),
    Column("recorded_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("by", Text, nullable=False, comment="a key's name"),
    Column(
        "withdrawn", Boolean, nullable=False, server_default=text("false"), comment="there was no such charge"
    ),
    Column(
        "corrections",
        JSONB,
        nullable=False,
        server_default="[]",
        comment="[{corrected_at, by, reason, was: {ln2_kg, withdrawn}}], the first one first",
    ),
    Column(
        "organization",
        Identifier,
        ForeignKey("organizations.slug"),
        comment="that held the dewar then, by a loan or a shipment, and told of it; null: the operating organization's word",
    ),
    PrimaryKeyConstraint("dewar_id", "charged_at"),
    comment="rows are never deleted; the newest that is not withdrawn is last_charged_at of the dewar",
)

sites = Table(
    "sites",
    metadata,
    Column("site_id", Identifier, primary_key=True),
    Column(
        "organization", Identifier, ForeignKey("organizations.slug"), index=True, comment="null: everybody's"
    ),
    Column("name", Text, nullable=False),
    Column("kind", Text),
    Column("lat", Double, nullable=False),
    Column("lon", Double, nullable=False),
    Column("radius_m", Double, nullable=False, comment="of the geofence"),
    Column("timezone", Text, nullable=False, comment="IANA name"),
    Column("stores", ARRAY(Text), comment="bands; null: not known"),
    Column("receiving_hours", JSONB(none_as_null=True), comment="null: always open"),
    Column("contacts", JSONB, nullable=False, server_default="[]"),
    *revisioned_columns(),
)

site_revisions = revisions_table(sites, "site")

products = Table(
    "products",
    metadata,
    Column("product_id", Identifier, primary_key=True),
    Column(
        "organization", Identifier, ForeignKey("organizations.slug"), index=True, comment="null: everybody's"
    ),
    Column("name", Text),
    Column("band", Text, nullable=False),
    Column("plan", JSONB, nullable=False, comment="every limit and time of the plan, resolved"),
    Column("use_within_h", Double, comment="from pack-out to use"),
    *revisioned_columns(),
)

product_revisions = revisions_table(products, "product")

shipments = Table(
    "shipments",
    metadata,
    Column("shipment_id", Identifier, primary_key=True),
    Column("organization", Identifier, ForeignKey("organizations.slug"), index=True),
    Column("band", Text, nullable=False),
    Column("plan", JSONB, nullable=False, comment="every limit and time of the plan, resolved"),
    Column("plan_revision", Integer, nullable=False, server_default="1"),
    Column("schedule_revision", Integer, nullable=False, server_default="1"),
    Column("dewar_id", Identifier, ForeignKey("dewars.dewar_id")),
    Column("product_id", Identifier),
    Column("origin", Text),
    Column("destination", Text),
    Column("legs", JSONB, nullable=False, server_default="[]"),
    Column("planned_departure", Instant),
    Column("planned_arrival", Instant),
    Column("packed_out_at", Instant),
    Column("use_by", Instant),
    Column("use_within_h", Double, comment="the product's when the shipment was made"),
    Column(
        "overrides",
        JSONB,
        nullable=False,
        server_default="[]",
        comment="[{gate, id, due_at, needed_until, reason, by, at}]: accepted although it is not in order",
    ),
    Column("drill", Boolean, nullable=False, server_default=text("false")),
    Column("departed_at", Instant),
    Column("delivered_at", Instant),
    Column("cancelled_at", Instant),
    Column(
        "status",
        Text,
        Computed(
            "CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled' WHEN delivered_at IS NOT NULL THEN 'delivered' "
            "WHEN departed_at IS NOT NULL THEN 'in_transit' ELSE 'planned' END",
            persisted=True,
        ),
        nullable=False,
    ),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Index(None, "created_at", "shipment_id"),
    Index(None, "status"),
    Index("shipments_planned_idx", "organization", postgresql_where=text("status = 'planned'")),
)

shipment_revisions = Table(
    "shipment_revisions",
    metadata,
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column(
        "step",
        Text,
        nullable=False,
        comment="created, departed, delivered, cancelled, plan_changed, schedule_changed, corrected, loggers_changed or dewar_changed",
    ),
    Column("by", Text, nullable=False, comment="a key's name"),
    Column("reason", Text, comment="in the words of whoever took the step"),
    Column("plan", JSONB, nullable=False),
    Column("plan_revision", Integer, nullable=False),
    Column("schedule_revision", Integer, nullable=False),
    Column("dewar_id", Identifier),
    Column("origin", Text),
    Column("destination", Text),
    Column("legs", JSONB, nullable=False, server_default="[]"),
    Column("planned_departure", Instant),
    Column("planned_arrival", Instant),
    Column("packed_out_at", Instant),
    Column("use_by", Instant),
    Column("departed_at", Instant),
    Column("delivered_at", Instant),
    Column("cancelled_at", Instant),
    Column(
        "overrides",
        JSONB,
        nullable=False,
        server_default="[]",
        comment="as in shipments",
    ),
    Column("devices", JSONB, nullable=False, comment="[{device_id, starts_at, ends_at}], as assigned then"),
    PrimaryKeyConstraint("shipment_id", "revision"),
    comment="all that a judgement depends on but the readings, as it was ever known; nothing is deleted",
)

device_assignments = Table(
    "device_assignments",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("device_id", Identifier, ForeignKey("devices.device_id"), nullable=False),
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, comment="half open; null while the shipment is under way"),
    UniqueConstraint("shipment_id", "device_id"),
    Index(None, "device_id", "starts_at"),
    comment="never two at one instant for one device: registry.assign locks the device's row and looks",
)

dewar_assignments = Table(
    "dewar_assignments",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("dewar_id", Identifier, ForeignKey("dewars.dewar_id"), nullable=False),
    Column("shipment_id", Identifier, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, comment="half open; null while the shipment is under way"),
    UniqueConstraint("shipment_id", "dewar_id"),
    Index(None, "dewar_id", "starts_at"),
    comment="never two at one instant for one dewar: registry.assign locks the dewar's row and looks",
)


def _loans_table(table: Table, noun: str) -> Table:
    """Return the table of the loans of what is in `table`, whose key is `<noun>_id`."""
    key = f"{noun}_id"
    return Table(
        f"{noun}_loans",
        metadata,
        Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
        Column(key, Identifier, ForeignKey(table.c[key]), nullable=False),
        Column("organization", Identifier, ForeignKey("organizations.slug"), nullable=False),
        Column("starts_at", Instant, nullable=False),
        Column("ends_at", Instant, comment="half open; null: until it is ended"),
        Column("recorded_at", Instant, nullable=False, server_default=func.clock_timestamp()),
        Column("by", Text, nullable=False, comment="a key's name"),
        Column("reason", Text),
        Column(
            "changes",
            JSONB,
            nullable=False,
            server_default="[]",
            comment="[{changed_at, by, reason, was: {ends_at}}], the first one first",
        ),
        CheckConstraint("ends_at >= starts_at", name="not_backwards"),
        Index(None, key, "starts_at"),
        Index(None, "organization", key),
        comment=f"never two at one instant for one {noun}; rows are never deleted",
    )


device_loans = _loans_table(devices, "device")
dewar_loans = _loans_table(dewars, "dewar")

readings = Table(
    "readings",
    metadata,
    Column("device_id", Identifier, nullable=False),
    Column("measured_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("source", Text, nullable=False),
    Column("temperature_c", Double),
    Column("probe_ok", Boolean, nullable=False),
    Column("seq", BigInteger),
    Column("boot", BigInteger),
    Column("lat", Double),
    Column("lon", Double),
    Column("accuracy_m", Double),
    Column("ambient_c", Double),
    Column("battery_pct", Double),
    Column("tilt_deg", Double),
    Column("shock_g", Double),
    Column("lid_open", Boolean),
    Column("ln2_kg", Double),
    Column("pressure_hpa", Double),
    Column("humidity_pct", Double),
    Column("flight_mode_until", Instant),
    Column("extra", JSONB),
    Column(
        "author", Text, comment="who sent it by HTTP; null: the logger itself, or sent before that was kept"
    ),
    PrimaryKeyConstraint("device_id", "measured_at"),
    comment="what loggers measured; a hypertable on measured_at wherever TimescaleDB is there; a copy that comes later may "
    "add seq and boot, and nothing else is ever updated",
)

manual_readings = Table(
    "manual_readings",
    metadata,
    *(Column(one.name, one.type, nullable=one.nullable) for one in readings.c if one.name != "author"),
    Column("author", Text, nullable=False, comment="who typed it"),
    PrimaryKeyConstraint("device_id", "measured_at"),
    comment="what people read off and typed; the logger's own reading of the same instant, in readings, goes before it",
)

device_states = Table(
    "device_states",
    metadata,
    Column("device_id", Identifier, ForeignKey("devices.device_id"), primary_key=True),
    Column("last_received_at", Instant),
    Column("measured_at", Instant, comment="of the latest reading; the values below are that reading's"),
    Column("temperature_c", Double),
    Column("probe_ok", Boolean),
    Column("battery_pct", Double),
    Column("flight_mode_until", Instant),
    Column("position_at", Instant, comment="the latest reading that carried a position"),
    Column("lat", Double),
    Column("lon", Double),
    Column("connection", Text, comment="online or offline, as the logger's status topic says"),
    Column("connection_at", Instant),
    postgresql_with={"fillfactor": "70"},
    comment="the last known state of each device; made with the device, updated with each batch",
)

device_suspensions = Table(
    "device_suspensions",
    metadata,
    Column("device_id", Identifier, ForeignKey("devices.device_id"), primary_key=True),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False, comment="when it ends by itself"),
    Column("reason", Text, nullable=False, comment="garbage, repetition or volume"),
    Column("times", Integer, nullable=False, comment="how many there were, each within a day of the last"),
    Column("shut_at", Instant, comment="when the broker kept it out; null: not yet"),
    Column("lifted_at", Instant, comment="when the broker let it in again; null: not yet"),
    Index("device_suspensions_under_way_idx", "device_id", postgresql_where=text("lifted_at IS NULL")),
    comment="the last time that each device was suspended because it flooded the service",
)

logger_credentials = Table(
    "logger_credentials",
    metadata,
    Column("device_id", Identifier, ForeignKey("devices.device_id"), primary_key=True),
    Column("verifier", LargeBinary, nullable=False, comment="PBKDF2 of the password, with SHA-512"),
    Column("salt", LargeBinary, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("broker", Text, comment="its address, host:port; null: not known"),
    Column("changed_at", Instant, nullable=False, server_default=func.now()),
    comment="what the broker checks each logger's password with: its accounts can be made anew from it",
)

brokers = Table(
    "brokers",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("address", Text, nullable=False, unique=True, comment="host:port"),
    Column("first_seen_at", Instant, nullable=False, server_default=func.now()),
    comment="the brokers that ingesters of this database read from: each has slots of its own",
)

logger_sequences = Table(
    "logger_sequences",
    metadata,
    Column("device_id", Identifier, nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("received", INT8MULTIRANGE, nullable=False, comment="every seq stored or kept as refused"),
    PrimaryKeyConstraint("device_id", "boot"),
    postgresql_with={"fillfactor": "70"},
)

database_pulses = Table(
    "database_pulses",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column(
        "incarnation", Uuid, nullable=False, comment="the life of the database: it changes when it went back"
    ),
    Column(
        "nonce", Uuid, nullable=False, comment="tells this pulse from one that has its number after a restore"
    ),
    Column("at", Instant, nullable=False),
    Column("server", Text, nullable=False, comment="which server and database it was added in"),
    comment="one each few seconds: who remembers one that is not here knows that the database went back",
)

database_restorations = Table(
    "database_restorations",
    metadata,
    Column("incarnation", Uuid, primary_key=True, comment="of the database from then on"),
    Column("former", Uuid, nullable=False, index=True, comment="of what it was before"),
    Column("evidence", Text, nullable=False, comment="went_back or another_server"),
    Column("went_back_to", Instant, comment="its newest pulse; null: it had none"),
    Column("known_until", Instant, nullable=False, comment="the newest pulse that was remembered"),
    Column("noticed_at", Instant, nullable=False),
    comment="when the database was found to have gone back",
)

refused_messages = Table(
    "refused_messages",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("received_at", Instant, nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False, comment="the MQTT topic, or the HTTP caller"),
    Column("payload", LargeBinary, nullable=False, comment="the first bytes of a long one"),
    Column(
        "size", Integer, comment="length of the whole in bytes; null: before that was cut, and it is whole"
    ),
    Column("sha256", LargeBinary, comment="of the whole; null where size is"),
)

refusal_quotas = Table(
    "refusal_quotas",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column(
        "origin", Identifier, nullable=False, comment="logger or HTTP caller; *: all that are not registered"
    ),
    Column("reason", Text, nullable=False),
    Column("day", Date, nullable=False, comment="UTC"),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    Column("kept", BigInteger, nullable=False, server_default="0"),
    Column("kept_bytes", BigInteger, nullable=False, server_default="0"),
    Column("hour", Instant, nullable=False, comment="the hour that hour_kept and hour_kept_bytes are of"),
    Column("hour_kept", BigInteger, nullable=False, server_default="0"),
    Column("hour_kept_bytes", BigInteger, nullable=False, server_default="0"),
    Column("not_kept", BigInteger, nullable=False, server_default="0", comment="over the quota"),
    Column("not_kept_bytes", BigInteger, nullable=False, server_default="0", comment="of whole messages"),
    Column("first_not_kept_at", Instant),
    Column("last_not_kept_at", Instant),
    UniqueConstraint("source", "origin", "reason", "day"),
    Index(None, "day"),
    postgresql_with={"fillfactor": "70"},
    comment="what was refused of each origin for each reason on a day, and how much of it is kept",
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "message_id",
        BigInteger,
        ForeignKey("refused_messages.id"),
        index=True,
        comment="null: stands for all that is over a quota",
    ),
    Column("position", Integer, comment="its place in the array; null where the whole message is refused"),
    Column("reason", Text, nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("device_id", Text, index=True),
    Column("reading", Text, comment="the refused reading as JSON, where not all of the message is kept"),
    Column(
        "quota_id",
        BigInteger,
        ForeignKey("refusal_quotas.id"),
        comment="the quota that is spent, where this stands for all that is over it",
    ),
    Index(None, "quota_id", unique=True, postgresql_where=text("quota_id IS NOT NULL")),
)

evaluation_marks = Table(
    "evaluation_marks",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("shipment_id", Identifier, nullable=False, index=True),
    Column("device_id", Identifier, comment="null: all devices of the shipment"),
    Column("dirty_from", Instant, comment="the earliest new reading; null: from the start"),
    Column("marked_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column(
        "late",
        Boolean,
        Computed("coalesce(marked_at - dirty_from > interval '5 minutes', false)", persisted=True),
        nullable=False,
        comment="readings of the past, as after a flight: what is live comes before them",
    ),
    Index(None, "late", "id"),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
    comment="the seam: storing appends a mark, evaluating takes it away, and neither waits for the other",
)
