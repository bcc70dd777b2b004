"""Alerts that people own: owners, snoozes, comments, incidents, and what needs attention."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
IDENTIFIER = sa.Text(collation="C")

# Who had taken an alert owned it already.
OWN = """
UPDATE alerts SET owner = acknowledged_by, assigned_at = acknowledged_at, assigned_by = acknowledged_by,
    last_action_at = acknowledged_at
WHERE state = 'acknowledged'
"""
OWNED = "UPDATE alert_revisions SET owner = acknowledged_by WHERE state = 'acknowledged'"

# What is open has to be looked at once; after that the trigger sees to it.
MARK_OPEN = """
INSERT INTO attention_marks (scope)
SELECT DISTINCT coalesce(shipment_id, '') FROM alerts WHERE state <> 'resolved'
"""

# For each statement and not for each row; who attends to alerts looks at all of them anyway, and leaves no marks.
NOTE_ATTENTION = """
CREATE FUNCTION note_attention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('dewarwatch.attending', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO attention_marks (scope) SELECT DISTINCT coalesce(shipment_id, '') FROM after_it;
    ELSE
        INSERT INTO attention_marks (scope)
        SELECT DISTINCT coalesce(a.shipment_id, '') FROM after_it AS a JOIN before_it AS b USING (id)
        WHERE (a.state, a.severity, a.owner, a.acknowledged_at, a.snoozed_until)
            IS DISTINCT FROM (b.state, b.severity, b.owner, b.acknowledged_at, b.snoozed_until);
    END IF;
    IF FOUND THEN
        PERFORM pg_notify('dewarwatch_attend', '');
    END IF;
    RETURN NULL;
END $$
"""
ON_INSERT = """
CREATE TRIGGER note_attention_of_new AFTER INSERT ON alerts
REFERENCING NEW TABLE AS after_it FOR EACH STATEMENT EXECUTE FUNCTION note_attention()
"""
ON_UPDATE = """
CREATE TRIGGER note_attention_of_changed AFTER UPDATE ON alerts
REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it FOR EACH STATEMENT EXECUTE FUNCTION note_attention()
"""

REFUSE = """
CREATE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are neither changed nor deleted: what was said and done stays on record', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
KEPT = ("alert_comments", "alert_revisions", "incident_revisions")


def upgrade() -> None:
    _make_incidents()
    for table, columns in (("alerts", _of_alerts()), ("alert_revisions", _of_revisions())):
        for column in columns:
            op.add_column(table, column)
    op.create_foreign_key("alerts_incident_id_fkey", "alerts", "incidents", ["incident_id"], ["id"])
    op.create_index("alerts_incident_id_idx", "alerts", ["incident_id"])
    op.create_table_comment(
        "alerts", "a trigger leaves a mark in attention_marks with all that people may have to be told of"
    )
    op.create_table_comment(
        "alert_revisions",
        "every state an alert was ever in; a trigger refuses that any is changed or deleted",
        existing_comment="every state an alert was ever in; nothing is deleted",
    )
    op.alter_column("alert_revisions", "by", comment="a key's name, the rule, or the timer")
    _make_comments()
    _make_attention()
    op.execute(OWN)
    op.execute(OWNED)
    op.execute(MARK_OPEN)
    for statement in (NOTE_ATTENTION, ON_INSERT, ON_UPDATE, REFUSE):
        op.execute(statement)
    for table in KEPT:
        op.execute(
            f"CREATE TRIGGER nothing_is_forgotten BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()"
        )


def _of_alerts() -> list[sa.Column[Any]]:
    return [
        sa.Column("owner", sa.Text, comment="who sees to it; null: nobody yet"),
        sa.Column("assigned_at", INSTANT),
        sa.Column("assigned_by", sa.Text),
        sa.Column("snoozed_until", INSTANT),
        sa.Column("snoozed_by", sa.Text),
        sa.Column("snooze_reason", sa.Text),
        sa.Column("last_action_at", INSTANT, comment="when a person last did something about it"),
        sa.Column("incident_id", sa.Uuid, comment="null: not yet looked at"),
    ]


def _of_revisions() -> list[sa.Column[Any]]:
    return [
        sa.Column("owner", sa.Text),
        sa.Column("snoozed_until", INSTANT),
        sa.Column("snooze_reason", sa.Text),
        sa.Column("note", sa.Text, comment="why, in the words of the person"),
    ]


def _incident_fields() -> list[sa.Column[Any]]:
    return [
        sa.Column("state", sa.Text, nullable=False, comment="open or closed"),
        sa.Column("kind", sa.Text, nullable=False, comment="of the probable cause"),
        sa.Column("severity", sa.Text, nullable=False, comment="the worst of its unresolved alerts"),
        sa.Column("headline", sa.Text, nullable=False, comment="what the probable cause is, in words"),
        sa.Column("next_action", sa.Text, nullable=False, comment="what to do about the worst of it"),
        sa.Column("closed_at", INSTANT),
        sa.Column("merged_into", sa.Uuid, comment="it turned out to be of one cause with that one"),
    ]


def _make_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("shipment_id", IDENTIFIER, comment="null: the whole fleet"),
        sa.Column("organization", IDENTIFIER),
        sa.Column("opened_at", INSTANT, nullable=False, comment="when we first knew of it"),
        sa.Column("cause_alert_id", sa.Uuid, nullable=False),
        *_incident_fields(),
        sa.Column("revision", sa.Integer, server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name="incidents_shipment_id_fkey"
        ),
        sa.ForeignKeyConstraint(["cause_alert_id"], ["alerts.id"], name="incidents_cause_alert_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="incidents_pkey"),
        comment="alerts of one probable cause",
    )
    op.create_index("incidents_shipment_id_idx", "incidents", ["shipment_id"])
    op.create_index("incidents_opened_at_id_idx", "incidents", ["opened_at", "id"])
    op.create_index(
        "incidents_open_idx", "incidents", ["shipment_id"], postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "incident_revisions",
        sa.Column("incident_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("cause_alert_id", sa.Uuid, nullable=False),
        *_incident_fields(),
        sa.Column(
            "alert_ids", postgresql.ARRAY(sa.Uuid), nullable=False, comment="those that belonged to it"
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name="incident_revisions_incident_id_fkey"
        ),
        sa.PrimaryKeyConstraint("incident_id", "revision", name="incident_revisions_pkey"),
        comment="every state an incident was ever in; a trigger refuses that any is changed or deleted",
    )


def _make_comments() -> None:
    op.create_table(
        "alert_comments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("alert_id", sa.Uuid, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="alert_comments_alert_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="alert_comments_pkey"),
        comment="what people wrote; a trigger refuses that any is changed or deleted",
    )
    op.create_index("alert_comments_alert_id_at_idx", "alert_comments", ["alert_id", "at"])


def _make_attention() -> None:
    op.create_table(
        "attention",
        sa.Column("scope", IDENTIFIER, nullable=False, comment="a shipment; empty: the whole fleet"),
        sa.Column("attend_at", INSTANT, comment="the next deadline; null: only a mark makes it due"),
        sa.Column("failures", sa.Integer, server_default="0", nullable=False),
        sa.Column("error", sa.Text, comment="of the last try, where it failed"),
        sa.PrimaryKeyConstraint("scope", name="attention_pkey"),
        postgresql_with={"fillfactor": "70"},
        comment="one row a scope; written only by whoever attends to its alerts",
    )
    op.create_index(
        "attention_attend_at_idx",
        "attention",
        ["attend_at"],
        postgresql_where=sa.text("attend_at IS NOT NULL"),
    )
    op.create_table(
        "attention_marks",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("scope", IDENTIFIER, nullable=False),
        sa.Column("marked_at", INSTANT, server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="attention_marks_pkey"),
        comment="something changed that people may have to be told of; written by a trigger on alerts",
    )
    op.create_index("attention_marks_scope_idx", "attention_marks", ["scope"])


def downgrade() -> None:
    for trigger in ("note_attention_of_new", "note_attention_of_changed"):
        op.execute(f"DROP TRIGGER {trigger} ON alerts")
    op.execute("DROP TRIGGER nothing_is_forgotten ON alert_revisions")
    op.drop_table("attention_marks")
    op.drop_table("attention")
    op.drop_table("alert_comments")
    op.drop_index("alerts_incident_id_idx", "alerts")
    op.drop_constraint("alerts_incident_id_fkey", "alerts")
    op.drop_table("incident_revisions")
    op.drop_table("incidents")
    for table, columns in (("alert_revisions", _of_revisions()), ("alerts", _of_alerts())):
        for column in columns:
            op.drop_column(table, column.name)
    for function in ("note_attention", "refuse_to_forget"):
        op.execute(f"DROP FUNCTION {function}")
    # Nobody could snooze before: what was is firing again, and to be acknowledged anew.
    op.execute(
        "UPDATE alerts SET state = 'firing', acknowledged_at = NULL, acknowledged_by = NULL WHERE state = 'snoozed'"
    )
    op.alter_column("alert_revisions", "by", comment="a key's name, or the rule")
    op.create_table_comment("alert_revisions", "every state an alert was ever in; nothing is deleted")
    op.drop_table_comment("alerts")
