"""What is evidence is never changed or removed: triggers refuse it, and the service's user has no right to do it.

The rights themselves are given by `dewarwatch migrate` after the revisions, for the users that its settings name. Two
things that the service does to evidence are done with the owner's rights: an event gets its position at the commit, and
readings that a former holder's logger sent of a time ahead are set aside.
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

GUARDED = (
    "contact_revisions",
    "device_calibrations",
    "device_revisions",
    "dewar_revisions",
    "excursion_revisions",
    "policy_revisions",
    "product_revisions",
    "shipment_revisions",
    "site_revisions",
)
"""Beside those that have been guarded since 0006 and 0007."""


def _gone(table: str) -> str:
    return f"""
        DELETE FROM {table} AS r
        WHERE device_id = ANY($2) AND measured_at >= $3 AND measured_at < $3 + interval '1 day'
            AND received_at < $3
            AND EXISTS (SELECT FROM ours AS o WHERE o.device_id = r.device_id AND NOT own AND o.starts_at <= r.received_at)
            AND NOT EXISTS (SELECT FROM ours AS o WHERE o.device_id = r.device_id AND own
                AND o.starts_at <= r.received_at AND (o.ends_at IS NULL OR o.ends_at > r.received_at))
            AND NOT EXISTS (SELECT FROM ours AS o WHERE o.device_id = r.device_id AND NOT lent
                AND o.starts_at <= r.measured_at AND (o.ends_at IS NULL OR o.ends_at > r.measured_at))
        RETURNING device_id, measured_at, received_at, source,
            jsonb_strip_nulls(to_jsonb(r) - 'device_id' - 'received_at' - 'source' - 'author' - 'set_aside') AS content"""  # noqa: S608 -- our own words


# The names are the caller's: shipment_id, device_ids, starts_at, reason, and how many readings of each logger are shown.
# A day is more than any clock was believed to be ahead, and few readings of one logger to look at.
SET_ASIDE = f"""
CREATE FUNCTION set_aside_readings(text, text[], timestamptz, text, integer) RETURNS SETOF text
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH here AS (SELECT shipment_id, organization FROM shipments WHERE shipment_id = $1
    ), ours AS (
        SELECT device_id, starts_at, ends_at, organization IS NOT DISTINCT FROM (SELECT organization FROM here) AS own, false AS lent
        FROM device_assignments JOIN shipments USING (shipment_id)
        WHERE device_id = ANY($2) AND shipment_id <> $1 AND (ends_at IS NULL OR ends_at > starts_at)
        UNION ALL
        SELECT device_id, starts_at, ends_at, organization IS NOT DISTINCT FROM (SELECT organization FROM here), true
        FROM device_loans WHERE device_id = ANY($2)
    ), measured AS ({_gone("readings")}
    ), typed AS ({_gone("manual_readings")}
    ), gone AS (
        SELECT device_id, measured_at, received_at, source, content FROM measured
        UNION ALL SELECT device_id, measured_at, received_at, source, content FROM typed
    ), numbered AS (
        SELECT device_id, measured_at, received_at, source, content,
            row_number() OVER (PARTITION BY device_id ORDER BY measured_at) AS number
        FROM gone
    ), told AS (
        SELECT device_id, count(*) AS readings, max(received_at) AS received_at, min(source) AS source,
            convert_to((jsonb_agg(content ORDER BY measured_at) FILTER (WHERE number <= $5))::text, 'UTF8') AS payload
        FROM numbered GROUP BY device_id
    ), kept AS (
        INSERT INTO refused_messages (received_at, source, origin, payload, size, sha256)
        SELECT received_at, source, 'dewar/v1/' || device_id || '/readings', payload, octet_length(payload), sha256(payload)
        FROM told RETURNING id, origin
    )
    INSERT INTO refusals (message_id, reason, detail, device_id)
    SELECT kept.id, $4, readings || ' readings were sent of a time ahead, at which the logger is on a shipment of another holder',
        device_id
    FROM told JOIN kept ON kept.origin = 'dewar/v1/' || device_id || '/readings'
    RETURNING device_id
$$
"""  # noqa: S608 -- our own words


def upgrade() -> None:
    for table in GUARDED:
        op.execute(
            f"CREATE TRIGGER nothing_is_forgotten BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()"
        )
    op.execute(SET_ASIDE)
    op.execute("ALTER FUNCTION place_in_outbox() SECURITY DEFINER SET search_path = public, pg_temp")


def downgrade() -> None:
    op.execute("ALTER FUNCTION place_in_outbox() SECURITY INVOKER RESET search_path")
    op.execute("DROP FUNCTION set_aside_readings(text, text[], timestamptz, text, integer)")
    for table in GUARDED:
        op.execute(f"DROP TRIGGER nothing_is_forgotten ON {table}")
