"""The SQL writes of one batch: each is one statement over arrays, or one COPY, called in the order in this module.

The states of the devices come first, in the order of their ids, because their rows are the locks. So two ingesters
never deadlock, and a reading is stored either before an assignment changes or after it, never meanwhile (see
registry.assignments). The readings come next, with the marks that make shipments due for evaluation.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from telemetry.channels import NotifyChannel
from telemetry.ingest.copy_batch import CopyBatch
from telemetry.ingest.duplicates import ReadingKey
from telemetry.ingest.evidence import (
    Evidence,
    EvidenceLimits,
    QuotaKey,
    Refused,
    Spent,
    choose,
    count_refused,
)
from telemetry.ingest.insert_batch import ArrayTexts, InsertBatch, encode_array, encode_arrays
from telemetry.ingest.senders import RightsChangedError, SenderRights
from telemetry.ingest.sequences import MAX_RANGES, Acknowledgement
from telemetry.model import Reading

DatabaseConnection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


LOCK_PATIENCE = "SET LOCAL lock_timeout = '500ms'"
"""How long a batch waits for one lock: somebody who holds it longer must not hold up the other loggers of the batch."""

STATES_OF = "SELECT device_id FROM device_states WHERE device_id = ANY($1::text[])"

RESOLUTIONS = """
SELECT device_id, resolution_c FROM devices WHERE device_id = ANY($1::text[]) AND resolution_c IS NOT NULL
"""

REGISTERED_DEVICES = "SELECT device_id FROM devices WHERE device_id = ANY($1::text[])"

_NEWER = "coalesce(excluded.measured_at > s.measured_at, s.measured_at IS NULL)"
_NEWER_POSITION = "coalesce(excluded.position_at > s.position_at, s.position_at IS NULL)"

# The status received last counts. A last will carries the time at which the logger registered it, not the time of the
# loss: a change whose time is not later is taken to have happened now.
UPDATE_STATES = f"""
INSERT INTO device_states AS s (device_id, last_received_at, measured_at, temperature_c, probe_ok, battery_pct,
    flight_mode_until, position_at, lat, lon, connection, connection_at)
SELECT * FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::timestamptz[], $4::text::float8[], $5::text::bool[], $6::text::float8[],
    $7::text::timestamptz[], $8::text::timestamptz[], $9::text::float8[], $10::text::float8[], $11::text::text[], $12::text::timestamptz[])
ON CONFLICT (device_id) DO UPDATE SET
    last_received_at = greatest(s.last_received_at, excluded.last_received_at),
    measured_at = greatest(s.measured_at, excluded.measured_at),
    temperature_c = CASE WHEN {_NEWER} THEN excluded.temperature_c ELSE s.temperature_c END,
    probe_ok = CASE WHEN {_NEWER} THEN excluded.probe_ok ELSE s.probe_ok END,
    battery_pct = CASE WHEN {_NEWER} THEN excluded.battery_pct ELSE s.battery_pct END,
    flight_mode_until = CASE WHEN {_NEWER} THEN excluded.flight_mode_until ELSE s.flight_mode_until END,
    position_at = greatest(s.position_at, excluded.position_at),
    lat = CASE WHEN {_NEWER_POSITION} THEN excluded.lat ELSE s.lat END,
    lon = CASE WHEN {_NEWER_POSITION} THEN excluded.lon ELSE s.lon END,
    connection = coalesce(excluded.connection, s.connection),
    connection_at = CASE
        WHEN excluded.connection IS NULL THEN s.connection_at
        WHEN coalesce(excluded.connection_at > s.connection_at, true) THEN excluded.connection_at
        WHEN excluded.connection <> s.connection THEN now()
        ELSE s.connection_at END
"""  # noqa: S608 -- built from the constants above

# Only new readings make a shipment due, and a batch sends one notification.
INSERT_READINGS = """
WITH new AS (
    INSERT INTO readings (device_id, measured_at, temperature_c, probe_ok, seq, boot, lat, lon, accuracy_m, ambient_c,
        battery_pct, tilt_deg, shock_g, lid_open, ln2_kg, pressure_hpa, humidity_pct, flight_mode_until, extra,
        received_at, source, author)
    SELECT sent.*, $21::text, $24::text FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::float8[], $4::text::bool[], $5::text::bigint[],
        $6::text::bigint[], $7::text::float8[], $8::text::float8[], $9::text::float8[], $10::text::float8[], $11::text::float8[], $12::text::float8[],
        $13::text::float8[], $14::text::bool[], $15::text::float8[], $16::text::float8[], $17::text::float8[], $18::text::timestamptz[], $19::text::jsonb[],
        $20::text::timestamptz[]) AS sent
    ON CONFLICT DO NOTHING RETURNING device_id, measured_at
), touched AS (
    SELECT device_id, min(measured_at) AS first, max(measured_at) AS last FROM new GROUP BY device_id
), marks AS (
    INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from)
    SELECT a.shipment_id, device_id, greatest(first, a.starts_at)
    FROM touched JOIN device_assignments AS a USING (device_id)
    WHERE a.starts_at <= last AND (a.ends_at IS NULL OR a.ends_at > first)
    RETURNING id
)
SELECT CASE WHEN (SELECT count(*) FROM new) < $22 THEN ARRAY(SELECT device_id FROM new) END AS device_ids,
    CASE WHEN (SELECT count(*) FROM new) < $22 THEN ARRAY(SELECT measured_at FROM new) END AS instants,
    (SELECT pg_notify($23, '') FROM marks LIMIT 1) AS notified
"""

# The same for what was typed: apart, and only shipments without a logger are judged by it.
INSERT_MANUAL = INSERT_READINGS.replace("INSERT INTO readings", "INSERT INTO manual_readings").replace(
    "JOIN device_assignments AS a USING (device_id)",
    """JOIN device_assignments AS a USING (device_id)
        JOIN shipments AS s ON s.shipment_id = a.shipment_id AND s.plan @> '{"manual_only": true}'""",
)

# Marks the shipments of readings that COPY has stored.
MARK_COPIED = """
WITH marks AS (
    INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from)
    SELECT a.shipment_id, device_id, greatest(first, a.starts_at)
    FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::timestamptz[]) AS touched (device_id, first, last)
    JOIN device_assignments AS a USING (device_id)
    WHERE a.starts_at <= last AND (a.ends_at IS NULL OR a.ends_at > first)
    RETURNING id
)
SELECT pg_notify($4, '') FROM marks LIMIT 1
"""

STORED_READINGS = f"""
SELECT {", ".join(Reading._fields)} FROM unnest($1::text::text[], $2::text::timestamptz[]) AS sent (device_id, measured_at)
JOIN readings USING (device_id, measured_at) WHERE measured_at BETWEEN $3 AND $4
"""  # noqa: S608 -- the columns are the fields of our own class

STORED_MANUAL = STORED_READINGS.replace("JOIN readings", "JOIN manual_readings")

# A copy adds the numbers that the reading came without: no value changes, and what was judged stays as it is.
ADD_NUMBERS = """
UPDATE readings AS r SET seq = added.seq, boot = added.boot
FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::bigint[], $4::text::bigint[])
    AS added (device_id, measured_at, seq, boot)
WHERE r.device_id = added.device_id AND r.measured_at = added.measured_at AND r.measured_at BETWEEN $5 AND $6
    AND r.seq IS NULL
"""

# The shipments of readings that got numbers, to be folded again; and those that loggers are on now of which something with
# a number was refused, for which nothing is.
MARK_NUMBERED = """
WITH marks AS (
    INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from)
    SELECT shipment_id, device_id, greatest(coalesce(first, clock_timestamp()), a.starts_at)
    FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::timestamptz[]) AS numbered (device_id, first, last)
    JOIN device_assignments AS a USING (device_id)
    WHERE a.starts_at <= coalesce(last, now()) AND (a.ends_at IS NULL OR a.ends_at > coalesce(first, now()))
    RETURNING id
)
SELECT pg_notify($4, '') FROM marks LIMIT 1
"""

# A counter with too many gaps keeps only its lowest 10,000 ranges: the logger sends the rest again, and nothing is
# acknowledged that is not stored.
ADD_SEQUENCES = """
INSERT INTO logger_sequences AS s (device_id, boot, received)
SELECT device_id, boot, range_agg(int8range(first, last, '[]'))
FROM unnest($1::text::text[], $2::text::bigint[], $3::text::bigint[], $4::text::bigint[]) AS sent (device_id, boot, first, last)
GROUP BY device_id, boot ORDER BY device_id, boot
ON CONFLICT (device_id, boot) DO UPDATE SET received = CASE
    WHEN pg_column_size(s.received + excluded.received) < 200000 THEN s.received + excluded.received
    ELSE (SELECT range_agg(kept) FROM (SELECT kept FROM unnest(s.received + excluded.received) AS kept LIMIT 10000) AS k)
    END
RETURNING device_id, boot, lower(received) AS first, upper(received) - 1 AS last,
    CASE WHEN received <> range_merge(received)::int8multirange THEN
        ARRAY(SELECT ARRAY[lower(r), upper(r) - 1] FROM unnest(received) AS r LIMIT $5) END AS ranges
"""

UNCHANGED_STRETCHES = """
SELECT count(*) FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS seen (id, starts_at, ends_at)
JOIN device_assignments AS a USING (id)
WHERE a.starts_at = seen.starts_at AND a.ends_at IS NOT DISTINCT FROM seen.ends_at
"""

# Locks the rows of the quotas, in the order of their keys. The day's sums are read under the lock.
COUNT_REFUSED = """
INSERT INTO refusal_quotas AS q (source, origin, reason, day, refused, hour)
SELECT source, origin, reason, day, refused, date_trunc('hour', at, 'UTC')
FROM unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::bigint[], $6::timestamptz[])
    AS arrived (source, origin, reason, day, refused, at)
ON CONFLICT (source, origin, reason, day) DO UPDATE SET
    refused = q.refused + excluded.refused,
    hour_kept = CASE WHEN q.hour >= excluded.hour THEN q.hour_kept ELSE 0 END,
    hour_kept_bytes = CASE WHEN q.hour >= excluded.hour THEN q.hour_kept_bytes ELSE 0 END,
    hour = greatest(q.hour, excluded.hour)
RETURNING source, origin, reason, day, id, hour_kept, hour_kept_bytes, kept, kept_bytes, not_kept
"""

SPEND_QUOTAS = """
UPDATE refusal_quotas AS q SET
    kept = q.kept + c.kept,
    kept_bytes = q.kept_bytes + c.kept_bytes,
    hour_kept = q.hour_kept + c.kept,
    hour_kept_bytes = q.hour_kept_bytes + c.kept_bytes,
    not_kept = q.not_kept + c.not_kept,
    not_kept_bytes = q.not_kept_bytes + c.not_kept_bytes,
    first_not_kept_at = least(q.first_not_kept_at, c.first_at),
    last_not_kept_at = greatest(q.last_not_kept_at, c.last_at)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
    AS c (id, kept, kept_bytes, not_kept, not_kept_bytes, first_at, last_at)
WHERE q.id = c.id
"""

STORE_REFUSED_MESSAGES = """
INSERT INTO refused_messages (received_at, source, origin, payload, size, sha256)
SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bytea[]) RETURNING id
"""

STORE_REFUSALS = """
INSERT INTO refusals (message_id, position, reason, detail, device_id, reading, quota_id)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
"""


async def registered_devices(
    connection: DatabaseConnection | asyncpg.Pool, device_ids: Collection[str]
) -> set[str]:
    """Return which of the devices are registered."""
    return {row["device_id"] for row in await connection.fetch(REGISTERED_DEVICES, list(device_ids))}


async def resolutions(connection: DatabaseConnection, device_ids: Collection[str]) -> dict[str, float]:
    """Return by how much, in °C, copies of a temperature may differ, of loggers that are registered with it."""
    return {
        row["device_id"]: row["resolution_c"] for row in await connection.fetch(RESOLUTIONS, list(device_ids))
    }


async def wait_briefly(connection: DatabaseConnection) -> None:
    """Let the rest of the transaction raise LockNotAvailableError rather than wait for a lock for long."""
    await connection.execute(LOCK_PATIENCE)


async def locked_loggers(pool: asyncpg.Pool, device_ids: Collection[str]) -> set[str]:
    """Return which of the loggers somebody else has locked; raises LockNotAvailableError if it is all of the table."""
    async with pool.acquire() as connection, connection.transaction():
        await wait_briefly(connection)
        free = await connection.fetch(f"{STATES_OF} FOR NO KEY UPDATE SKIP LOCKED", list(device_ids))
        known = await connection.fetch(STATES_OF, list(device_ids))
    return {row["device_id"] for row in known} - {row["device_id"] for row in free}


async def check_rights(connection: DatabaseConnection, rights: SenderRights) -> None:
    """Raise RightsChangedError if a stretch in which readings were allowed is another now; the loggers are locked."""
    stretches = [one for found in rights.stretches.values() for one in found if one.is_open]
    if not stretches:
        return
    unchanged = await connection.fetchval(
        UNCHANGED_STRETCHES,
        [one.assignment_id for one in stretches],
        [one.starts_at for one in stretches],
        [one.ends_at for one in stretches],
    )
    if unchanged < len(stretches):
        raise RightsChangedError


async def update_states(connection: DatabaseConnection, states: ArrayTexts) -> None:
    """Lock the devices of a batch, and update their last known states."""
    if states:
        await connection.execute(UPDATE_STATES, *states)


async def copy_readings(
    connection: DatabaseConnection, batch: CopyBatch, on_sent: Callable[[], None]
) -> None:
    """Store readings that are all new, and mark their shipments; `on_sent` is called once the data has been sent.

    Raises UniqueViolationError if one of them is stored already, or is in the batch twice.
    """
    columns, data = batch.copy
    await connection.copy_to_table(
        "readings", source=_one_chunk(data, on_sent), columns=columns, format="binary"
    )
    await connection.execute(MARK_COPIED, *batch.spans, NotifyChannel.EVALUATION)


async def insert_readings(connection: DatabaseConnection, batch: InsertBatch) -> set[ReadingKey] | None:
    """Store readings that are not stored yet, and mark their shipments; return the new keys, or None if all are new."""
    if not batch.readings:
        return None
    row = await connection.fetchrow(
        INSERT_MANUAL if batch.is_manual else INSERT_READINGS,
        *batch.rows,
        batch.source,
        len(batch.readings),
        NotifyChannel.EVALUATION,
        batch.author,
    )
    assert row is not None
    return None if row["device_ids"] is None else set(zip(row["device_ids"], row["instants"], strict=True))


async def stored_readings(
    connection: DatabaseConnection, keys: Collection[ReadingKey], *, is_manual: bool
) -> dict[ReadingKey, Reading]:
    """Load the readings that are stored under these keys, typed ones or those of loggers, with `extra` as JSON text."""
    device_ids, instants = zip(*keys, strict=True)
    rows = await connection.fetch(
        STORED_MANUAL if is_manual else STORED_READINGS,
        encode_array(device_ids),
        encode_array(instants),
        min(instants),
        max(instants),
    )
    return {(row["device_id"], row["measured_at"]): Reading._make(row) for row in rows}


async def add_numbers(connection: DatabaseConnection, numbered: Sequence[Reading]) -> None:
    """Add to stored readings the numbers that a copy had."""
    device_ids, instants, seqs, boots = zip(
        *((one.device_id, one.measured_at, one.seq, one.boot) for one in numbered), strict=True
    )
    arrays = map(encode_array, (device_ids, instants, seqs, boots))
    await connection.execute(ADD_NUMBERS, *arrays, min(instants), max(instants))


async def mark_numbered(
    connection: DatabaseConnection, numbered: Sequence[Reading], refused: Collection[str]
) -> None:
    """Mark the shipments of loggers that have been heard in numbers: added to readings, or those of what was refused."""
    rows: list[tuple[str, datetime | None, datetime | None]] = [
        (device_id, None, None) for device_id in refused
    ]
    instants: defaultdict[str, list[datetime]] = defaultdict(list)
    for one in numbered:
        instants[one.device_id].append(one.measured_at)
    rows += [(device_id, min(at), max(at)) for device_id, at in instants.items()]
    if rows:
        await connection.execute(MARK_NUMBERED, *encode_arrays(rows), NotifyChannel.EVALUATION)


async def add_sequences(connection: DatabaseConnection, sequences: ArrayTexts) -> list[Acknowledgement]:
    """Record which numbers have arrived; return the acknowledgement for each device and boot."""
    if not sequences:
        return []
    return [
        Acknowledgement(device_id, boot, ranges or [(first, last)])
        for device_id, boot, first, last, ranges in await connection.fetch(
            ADD_SEQUENCES, *sequences, MAX_RANGES
        )
    ]


async def store_refusals(
    connection: DatabaseConnection, refused: Refused, limits: EvidenceLimits
) -> Evidence:
    """Store refused messages, each once, with their refusals, as far as the quotas go; count all of them.

    The quotas of the batch are locked from here to the end of the transaction: two processes never spend the same.
    """
    arrived = count_refused(refused)
    rows = await connection.fetch(
        COUNT_REFUSED, *zip(*((*key, *counted) for key, counted in arrived.items()), strict=True)
    )
    spent = {QuotaKey(*row[:4]): Spent(*row[4:]) for row in (tuple(row) for row in rows)}
    evidence = choose(refused, spent, limits)
    ids: list[int] = []
    if evidence.messages:
        stored = await connection.fetch(STORE_REFUSED_MESSAGES, *zip(*evidence.messages, strict=True))
        ids = sorted(row["id"] for row in stored)  # they ascend in the order of the rows
    if evidence.refusals:
        stamped = [
            one._replace(message=None if one.message is None else ids[one.message])
            for one in evidence.refusals
        ]
        await connection.execute(STORE_REFUSALS, *zip(*stamped, strict=True))
    changes = [
        (
            spent[key].id,
            one.kept,
            one.bytes,
            one.not_kept,
            one.not_kept_bytes,
            one.first_at,
            one.last_at,
        )
        for key, one in evidence.changes.items()
    ]
    await connection.execute(SPEND_QUOTAS, *zip(*changes, strict=True))
    return evidence


async def _one_chunk(data: bytes, on_sent: Callable[[], None]) -> AsyncIterator[bytes]:
    yield data
    on_sent()
