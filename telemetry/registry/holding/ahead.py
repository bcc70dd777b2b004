"""What a logger's former holder had it say of a time that had not come: set aside when the logger is on another's shipment then.

A logger may say the time of its own clock, which may be fast by minutes. So whoever hands a logger on could have it speak of
the next holder's first minutes. Such readings are on no shipment yet: they leave the readings, and are kept with what is refused.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.model import RefusalReason

_SHOWN: Final = 20
"""Readings of each logger that are kept in full; there may be a hundred thousand, and nobody looks at them."""

# A day is more than any clock was believed to be ahead, and few readings of one logger to look at.
_GONE: Final = """
    DELETE FROM {table} AS r
    WHERE device_id = ANY(:device_ids) AND measured_at >= :starts_at AND measured_at < CAST(:starts_at AS timestamptz) + interval '1 day'
        AND received_at < :starts_at
        AND EXISTS (SELECT FROM ours AS o WHERE o.device_id = r.device_id AND NOT own AND o.starts_at <= r.received_at)
        AND NOT EXISTS (SELECT FROM ours AS o WHERE o.device_id = r.device_id AND own
            AND o.starts_at <= r.received_at AND (o.ends_at IS NULL OR o.ends_at > r.received_at))
        AND NOT EXISTS (SELECT FROM ours AS o WHERE o.device_id = r.device_id AND NOT lent
            AND o.starts_at <= r.measured_at AND (o.ends_at IS NULL OR o.ends_at > r.measured_at))
    RETURNING device_id, measured_at, received_at, source,
        jsonb_strip_nulls(to_jsonb(r) - 'device_id' - 'received_at' - 'source') AS content
"""

_SET_ASIDE = text(f"""
WITH here AS (SELECT shipment_id, organization FROM shipments WHERE shipment_id = :shipment_id
), ours AS (
    SELECT device_id, starts_at, ends_at, organization IS NOT DISTINCT FROM (SELECT organization FROM here) AS own, false AS lent
    FROM device_assignments JOIN shipments USING (shipment_id)
    WHERE device_id = ANY(:device_ids) AND shipment_id <> :shipment_id AND (ends_at IS NULL OR ends_at > starts_at)
    UNION ALL
    SELECT device_id, starts_at, ends_at, organization IS NOT DISTINCT FROM (SELECT organization FROM here), true
    FROM device_loans WHERE device_id = ANY(:device_ids)
), measured AS ({_GONE.format(table="readings")}
), typed AS ({_GONE.format(table="manual_readings")}
), gone AS (
    SELECT device_id, measured_at, received_at, source, content FROM measured
    UNION ALL SELECT device_id, measured_at, received_at, source, content FROM typed
), numbered AS (
    SELECT device_id, measured_at, received_at, source, content,
        row_number() OVER (PARTITION BY device_id ORDER BY measured_at) AS number
    FROM gone
), told AS (
    SELECT device_id, count(*) AS readings, max(received_at) AS received_at, min(source) AS source,
        convert_to((jsonb_agg(content ORDER BY measured_at) FILTER (WHERE number <= {_SHOWN}))::text, 'UTF8') AS payload
    FROM numbered GROUP BY device_id
), kept AS (
    INSERT INTO refused_messages (received_at, source, origin, payload, size, sha256)
    SELECT received_at, source, 'dewar/v1/' || device_id || '/readings', payload, octet_length(payload), sha256(payload)
    FROM told RETURNING id, origin
)
INSERT INTO refusals (message_id, reason, detail, device_id)
SELECT kept.id, :reason, readings || ' readings were sent of a time ahead, at which the logger is on a shipment of another holder',
    device_id
FROM told JOIN kept ON kept.origin = 'dewar/v1/' || device_id || '/readings'
RETURNING device_id
""")  # noqa: S608 -- built from the constant above

_LATEST_AGAIN = text("""
UPDATE device_states AS s SET
    (measured_at, temperature_c, probe_ok, battery_pct, flight_mode_until) = (
        SELECT measured_at, temperature_c, probe_ok, battery_pct, flight_mode_until FROM readings AS r
        WHERE r.device_id = s.device_id ORDER BY measured_at DESC LIMIT 1),
    position_at = CASE WHEN position_at < :starts_at THEN position_at END,
    lat = CASE WHEN position_at < :starts_at THEN lat END,
    lon = CASE WHEN position_at < :starts_at THEN lon END
WHERE device_id = ANY(:device_ids)
""")


async def set_aside(
    connection: AsyncConnection, shipment_id: str, device_ids: Collection[str], starts_at: datetime
) -> None:
    """Set aside what would count for a shipment from an instant on, and was received before that, of another holder.

    The loggers are locked. What an organization's own logger said ahead stays, on whichever of its shipments it is.
    """
    if not device_ids:
        return
    asked = {"shipment_id": shipment_id, "device_ids": list(device_ids), "starts_at": starts_at}
    found = await connection.scalars(_SET_ASIDE, {**asked, "reason": RefusalReason.NOT_YOURS.value})
    if gone := found.all():
        await connection.execute(_LATEST_AGAIN, {"device_ids": list(gone), "starts_at": starts_at})
