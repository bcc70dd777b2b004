"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.transaction_id import TransactionId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("interval_s", sa.Double(), nullable=True),
        sa.Column("calibration_due", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("devices_pkey")),
    )
    op.create_table(
        "dewars",
        sa.Column("dewar_id", sa.Text(collation="C"), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("hold_time_h", sa.Double(), nullable=True),
        sa.Column("ln2_capacity_kg", sa.Double(), nullable=True),
        sa.Column("last_charged_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("qualified_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("dewar_id", name=op.f("dewars_pkey")),
    )
    op.create_table(
        "evaluation_marks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "device_id", sa.Text(collation="C"), nullable=True, comment="null: all devices of the shipment"
        ),
        sa.Column(
            "dirty_from",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="the earliest new reading; null: from the start",
        ),
        sa.Column(
            "marked_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("evaluation_marks_pkey")),
        comment="the seam: storing appends a mark, evaluating takes it away, and neither waits for the other",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
    )
    op.create_index(
        op.f("evaluation_marks_shipment_id_idx"), "evaluation_marks", ["shipment_id"], unique=False
    )
    op.create_table(
        "logger_sequences",
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column(
            "received",
            postgresql.INT8MULTIRANGE(),
            nullable=False,
            comment="every seq stored or kept as refused",
        ),
        sa.PrimaryKeyConstraint("device_id", "boot", name=op.f("logger_sequences_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "organizations",
        sa.Column("slug", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("slug", name=op.f("organizations_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "transaction_id",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
            comment="readers go by (transaction_id, id) below the oldest running transaction, and skip nothing",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=True),
        sa.Column("organization", sa.Text(collation="C"), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_index(op.f("outbox_created_at_idx"), "outbox", ["created_at"], unique=False)
    op.create_index(op.f("outbox_transaction_id_id_idx"), "outbox", ["transaction_id", "id"], unique=False)
    op.create_table(
        "readings",
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("measured_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("temperature_c", sa.Double(), nullable=True),
        sa.Column("probe_ok", sa.Boolean(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("boot", sa.BigInteger(), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("accuracy_m", sa.Double(), nullable=True),
        sa.Column("ambient_c", sa.Double(), nullable=True),
        sa.Column("battery_pct", sa.Double(), nullable=True),
        sa.Column("tilt_deg", sa.Double(), nullable=True),
        sa.Column("shock_g", sa.Double(), nullable=True),
        sa.Column("lid_open", sa.Boolean(), nullable=True),
        sa.Column("ln2_kg", sa.Double(), nullable=True),
        sa.Column("pressure_hpa", sa.Double(), nullable=True),
        sa.Column("humidity_pct", sa.Double(), nullable=True),
        sa.Column("flight_mode_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("extra", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("device_id", "measured_at", name=op.f("readings_pkey")),
        comment="a hypertable on measured_at wherever TimescaleDB is there; rows are never updated",
    )
    op.create_table(
        "refused_messages",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, comment="the MQTT topic, or the HTTP caller"),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("refused_messages_pkey")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False, comment="shown in lists and logs, tells keys apart"),
        sa.Column(
            "hash",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of the whole key, which is 256 random bits",
        ),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(collation="C"), nullable=True),
        sa.Column("shipment_ids", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("device_ids", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column(
            "created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization"], ["organizations.slug"], name=op.f("api_keys_organization_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("prefix", name=op.f("api_keys_prefix_key")),
    )
    op.create_table(
        "device_states",
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("last_received_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "measured_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="of the latest reading; the values below are that reading's",
        ),
        sa.Column("temperature_c", sa.Double(), nullable=True),
        sa.Column("probe_ok", sa.Boolean(), nullable=True),
        sa.Column("battery_pct", sa.Double(), nullable=True),
        sa.Column("flight_mode_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "position_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="the latest reading that carried a position",
        ),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column(
            "connection",
            sa.Text(),
            nullable=True,
            comment="online or offline, as the logger's status topic says",
        ),
        sa.Column("connection_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.device_id"], name=op.f("device_states_device_id_fkey")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("device_states_pkey")),
        comment="the last known state of each device; made with the device, updated with each batch",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=True,
            comment="its place in the array; null where the whole message is refused",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["refused_messages.id"], name=op.f("refusals_message_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("refusals_pkey")),
    )
    op.create_index(op.f("refusals_device_id_idx"), "refusals", ["device_id"], unique=False)
    op.create_index(op.f("refusals_message_id_idx"), "refusals", ["message_id"], unique=False)
    op.create_index(op.f("refusals_reason_idx"), "refusals", ["reason"], unique=False)
    op.create_table(
        "shipments",
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("organization", sa.Text(collation="C"), nullable=True),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column(
            "plan",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="every limit and time of the plan, resolved",
        ),
        sa.Column("plan_revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("dewar_id", sa.Text(collation="C"), nullable=True),
        sa.Column("product_id", sa.Text(collation="C"), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("destination", sa.Text(), nullable=True),
        sa.Column("legs", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("planned_departure", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("planned_arrival", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("packed_out_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("use_by", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("drill", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("departed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("delivered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cancelled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "status",
            sa.Text(),
            sa.Computed(
                "CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled' WHEN delivered_at IS NOT NULL THEN 'delivered' WHEN departed_at IS NOT NULL THEN 'in_transit' ELSE 'planned' END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["dewar_id"], ["dewars.dewar_id"], name=op.f("shipments_dewar_id_fkey")),
        sa.ForeignKeyConstraint(
            ["organization"], ["organizations.slug"], name=op.f("shipments_organization_fkey")
        ),
        sa.PrimaryKeyConstraint("shipment_id", name=op.f("shipments_pkey")),
    )
    op.create_index(
        op.f("shipments_created_at_shipment_id_idx"), "shipments", ["created_at", "shipment_id"], unique=False
    )
    op.create_index(op.f("shipments_organization_idx"), "shipments", ["organization"], unique=False)
    op.create_index(op.f("shipments_status_idx"), "shipments", ["status"], unique=False)
    op.create_table(
        "device_assignments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("starts_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "ends_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="half open; null while the shipment is under way",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.device_id"], name=op.f("device_assignments_device_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("device_assignments_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("device_assignments_pkey")),
        sa.UniqueConstraint(
            "shipment_id", "device_id", name=op.f("device_assignments_shipment_id_device_id_key")
        ),
        comment="never two at one instant for one device: registry.assign locks the device's row and looks",
    )
    op.create_index(
        op.f("device_assignments_device_id_starts_at_idx"),
        "device_assignments",
        ["device_id", "starts_at"],
        unique=False,
    )
    op.create_table(
        "evaluation_states",
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("plan_revision", sa.Integer(), nullable=False),
        sa.Column(
            "through",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="measured_at of the last reading folded in",
        ),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("evaluation_states_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "device_id", name=op.f("evaluation_states_pkey")),
        comment="folded state, so that in-order data costs only itself; losing it costs time, never correctness",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "evaluations",
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "evaluate_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="the next deadline; null: only new readings make it due",
        ),
        sa.Column("evaluated_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="of the last try, where it failed"),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("evaluations_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("shipment_id", name=op.f("evaluations_pkey")),
        comment="one row a shipment; its lock is the right to evaluate it",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        op.f("evaluations_evaluate_at_idx"),
        "evaluations",
        ["evaluate_at"],
        unique=False,
        postgresql_where=sa.text("evaluate_at IS NOT NULL"),
    )
    op.create_table(
        "excursions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("device_id", sa.Text(collation="C"), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "opened_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="when we first knew of it",
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("start_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("end_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("peak_c", sa.Double(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("has_gap", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why this revision was made"),
        sa.Column("superseded_by", sa.Uuid(), nullable=True),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("excursions_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("excursions_pkey")),
    )
    op.create_index(
        "excursions_one_open_key",
        "excursions",
        ["shipment_id", "device_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(op.f("excursions_shipment_id_idx"), "excursions", ["shipment_id"], unique=False)
    op.create_index(op.f("excursions_start_at_id_idx"), "excursions", ["start_at", "id"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shipment_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="what it is about, as kind:id; one alert for each"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(collation="C"), nullable=True),
        sa.Column("excursion_id", sa.Uuid(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column(
            "since",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="event time: when the condition began",
        ),
        sa.Column(
            "until",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="event time: when the condition ended",
        ),
        sa.Column(
            "withdrawn",
            sa.Boolean(),
            nullable=False,
            comment="it turned out that the condition never was",
        ),
        sa.Column(
            "raised_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="when we first knew of it",
        ),
        sa.Column("acknowledged_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(["excursion_id"], ["excursions.id"], name=op.f("alerts_excursion_id_fkey")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("alerts_shipment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("alerts_pkey")),
        sa.UniqueConstraint("shipment_id", "subject", name=op.f("alerts_shipment_id_subject_key")),
    )
    op.create_index(op.f("alerts_excursion_id_idx"), "alerts", ["excursion_id"], unique=False)
    op.create_index(op.f("alerts_raised_at_id_idx"), "alerts", ["raised_at", "id"], unique=False)
    op.create_index(op.f("alerts_state_idx"), "alerts", ["state"], unique=False)
    op.create_table(
        "excursion_revisions",
        sa.Column("excursion_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("start_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("end_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("peak_c", sa.Double(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("has_gap", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why this revision was made"),
        sa.Column("superseded_by", sa.Uuid(), nullable=True),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["excursion_id"], ["excursions.id"], name=op.f("excursion_revisions_excursion_id_fkey")
        ),
        sa.PrimaryKeyConstraint("excursion_id", "revision", name=op.f("excursion_revisions_pkey")),
        comment="every state an excursion was ever known in; nothing is deleted",
    )
    op.create_table(
        "alert_revisions",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False, comment="a key's name, or the rule"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("alert_revisions_alert_id_fkey")),
        sa.PrimaryKeyConstraint("alert_id", "revision", name=op.f("alert_revisions_pkey")),
    )


def downgrade() -> None:
    op.drop_table("alert_revisions")
    op.drop_table("excursion_revisions")
    op.drop_index(op.f("alerts_state_idx"), table_name="alerts")
    op.drop_index(op.f("alerts_raised_at_id_idx"), table_name="alerts")
    op.drop_index(op.f("alerts_excursion_id_idx"), table_name="alerts")
    op.drop_table("alerts")
    op.drop_index(op.f("excursions_start_at_id_idx"), table_name="excursions")
    op.drop_index(op.f("excursions_shipment_id_idx"), table_name="excursions")
    op.drop_index(
        "excursions_one_open_key", table_name="excursions", postgresql_where=sa.text("state = 'open'")
    )
    op.drop_table("excursions")
    op.drop_index(
        op.f("evaluations_evaluate_at_idx"),
        table_name="evaluations",
        postgresql_where=sa.text("evaluate_at IS NOT NULL"),
    )
    op.drop_table("evaluations")
    op.drop_table("evaluation_states")
    op.drop_index(op.f("device_assignments_device_id_starts_at_idx"), table_name="device_assignments")
    op.drop_table("device_assignments")
    op.drop_index(op.f("shipments_status_idx"), table_name="shipments")
    op.drop_index(op.f("shipments_organization_idx"), table_name="shipments")
    op.drop_index(op.f("shipments_created_at_shipment_id_idx"), table_name="shipments")
    op.drop_table("shipments")
    op.drop_index(op.f("refusals_reason_idx"), table_name="refusals")
    op.drop_index(op.f("refusals_message_id_idx"), table_name="refusals")
    op.drop_index(op.f("refusals_device_id_idx"), table_name="refusals")
    op.drop_table("refusals")
    op.drop_table("device_states")
    op.drop_table("api_keys")
    op.drop_table("refused_messages")
    op.drop_table("readings")
    op.drop_index(op.f("outbox_transaction_id_id_idx"), table_name="outbox")
    op.drop_index(op.f("outbox_created_at_idx"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("organizations")
    op.drop_table("logger_sequences")
    op.drop_index(op.f("evaluation_marks_shipment_id_idx"), table_name="evaluation_marks")
    op.drop_table("evaluation_marks")
    op.drop_table("dewars")
    op.drop_table("devices")
