"""What the service does to stored readings, it does with the owner's rights: a reading leaves only into what was displaced.

Two things are done to readings after they are stored: a correction of a logger's clock takes them out, and keeps them as
they were; and a copy that comes later adds the numbers that a reading came without.
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# The names are the caller's: device_id, correction_id, displaced_at, the instants, and the first and the last of them.
DISPLACE = """
CREATE FUNCTION displace_readings(text, uuid, timestamptz, timestamptz[], timestamptz, timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM readings AS r WHERE device_id = $1 AND measured_at = ANY($4) AND measured_at BETWEEN $5 AND $6
        RETURNING measured_at, to_jsonb(r) AS reading
    ), kept AS (
        INSERT INTO displaced_readings (device_id, measured_at, correction_id, reading, displaced_at)
        SELECT $1, measured_at, $2, reading, $3 FROM gone RETURNING 1
    )
    SELECT count(*) FROM kept
$$
"""
# device_ids, instants, seqs, boots, and the first and the last of the instants.
NUMBER = """
CREATE FUNCTION number_readings(text[], timestamptz[], bigint[], bigint[], timestamptz, timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE readings AS r SET seq = added.seq, boot = added.boot
    FROM unnest($1, $2, $3, $4) AS added (device_id, measured_at, seq, boot)
    WHERE r.device_id = added.device_id AND r.measured_at = added.measured_at AND r.measured_at BETWEEN $5 AND $6
        AND r.seq IS NULL
$$
"""


def upgrade() -> None:
    op.execute(DISPLACE)
    op.execute(NUMBER)


def downgrade() -> None:
    op.execute(
        "DROP FUNCTION number_readings(text[], timestamptz[], bigint[], bigint[], timestamptz, timestamptz)"
    )
    op.execute(
        "DROP FUNCTION displace_readings(text, uuid, timestamptz, timestamptz[], timestamptz, timestamptz)"
    )
