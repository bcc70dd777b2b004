"""What readings say of charges that were told: for a page of charges at once."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import ARRAY, RowMapping, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import SECOND
from alerts.rules.blocks.charge_doubts import FLIGHT_WITHIN, WITHIN, Doubt, Seen, Told, doubts
from alerts.work.bulk import columns_of
from telemetry.tables import Instant, dewar_charges

# The last reading before a charge counts although it is older: it may announce the flight in which all is silent.
_READINGS: Final = text(
    """
    SELECT c.number, r.device_id, r.temperature_c, r.ln2_kg,
        lapse.rate * extract(epoch FROM r.measured_at - c.charged_at) AS at_s,
        lapse.rate * extract(epoch FROM r.flight_mode_until - c.charged_at) AS flight_s
    FROM unnest(:dewar_ids, :instants) WITH ORDINALITY AS c (dewar_id, charged_at, number)
        JOIN dewar_assignments AS w ON w.dewar_id = c.dewar_id AND w.starts_at <= c.charged_at
            AND (w.ends_at IS NULL OR w.ends_at > c.charged_at)
        JOIN shipments AS s USING (shipment_id)
        CROSS JOIN LATERAL (SELECT coalesce((s.plan->>'time_lapse')::float8, 1) AS rate) AS lapse
        JOIN device_assignments AS a USING (shipment_id)
        CROSS JOIN LATERAL (
            SELECT n.device_id, n.measured_at, n.temperature_c, n.ln2_kg, n.flight_mode_until, n.probe_ok FROM readings AS n
            WHERE n.device_id = a.device_id AND n.measured_at >= greatest(a.starts_at, c.charged_at - CAST(:within AS interval) / lapse.rate)
                AND n.measured_at <= c.charged_at + CAST(:within AS interval) / lapse.rate
                AND (a.ends_at IS NULL OR n.measured_at < a.ends_at)
            UNION ALL
            SELECT last.* FROM (
                SELECT n.device_id, n.measured_at, n.temperature_c, n.ln2_kg, n.flight_mode_until, n.probe_ok FROM readings AS n
                WHERE n.device_id = a.device_id AND n.measured_at < c.charged_at
                    AND n.measured_at >= greatest(a.starts_at, c.charged_at - CAST(:flight_within AS interval) / lapse.rate)
                ORDER BY n.measured_at DESC LIMIT 1
            ) AS last WHERE last.measured_at < c.charged_at - CAST(:within AS interval) / lapse.rate
        ) AS r
    WHERE r.probe_ok
    ORDER BY c.number, r.device_id, r.measured_at
    """
).bindparams(bindparam("dewar_ids", type_=ARRAY(Text)), bindparam("instants", type_=ARRAY(Instant)))

_DEWARS: Final = text(
    """
    SELECT c.number, d.ln2_capacity_kg, (s.plan->>'upper_c')::float8 AS upper_c
    FROM unnest(:dewar_ids, :instants) WITH ORDINALITY AS c (dewar_id, charged_at, number)
        JOIN dewars AS d USING (dewar_id)
        LEFT JOIN dewar_assignments AS w ON w.dewar_id = c.dewar_id AND w.starts_at <= c.charged_at
            AND (w.ends_at IS NULL OR w.ends_at > c.charged_at)
        LEFT JOIN shipments AS s USING (shipment_id)
    ORDER BY c.number
    """
).bindparams(bindparam("dewar_ids", type_=ARRAY(Text)), bindparam("instants", type_=ARRAY(Instant)))


_OF_SHIPMENT: Final = text(
    f"""
    SELECT {columns_of(dewar_charges, "c")} FROM shipments AS s JOIN dewar_assignments AS w USING (shipment_id)
        JOIN dewar_charges AS c ON c.dewar_id = w.dewar_id AND c.charged_at >= w.starts_at
            AND (w.ends_at IS NULL OR c.charged_at < w.ends_at)
    WHERE s.shipment_id = :shipment_id AND NOT c.withdrawn
        AND (c.organization IS NULL OR c.organization = s.organization)
    ORDER BY c.charged_at
    """  # noqa: S608 -- our own words
)


async def doubtful_charges(
    connection: AsyncConnection, shipment_id: str
) -> list[tuple[RowMapping, tuple[Doubt, ...]]]:
    """Load the charges that count for a shipment while it has its dewar, and that something speaks against."""
    rows = (await connection.execute(_OF_SHIPMENT, {"shipment_id": shipment_id})).mappings().all()
    found = await doubts_of(connection, rows)
    return [(row, against) for row, against in zip(rows, found, strict=True) if against]


async def doubts_of(connection: AsyncConnection, charges: Sequence[Any]) -> list[tuple[Doubt, ...]]:
    """Return what speaks against each charge, given by rows of `dewar_charges`, by the loggers that travelled with it."""
    if not charges:
        return []
    asked = {
        "dewar_ids": [charge["dewar_id"] for charge in charges],
        "instants": [charge["charged_at"] for charge in charges],
    }
    about = {row.number: row for row in await connection.execute(_DEWARS, asked)}
    lengths = {"within": WITHIN, "flight_within": FLIGHT_WITHIN}
    spans = {name: timedelta(seconds=length / SECOND) for name, length in lengths.items()}
    found = (await connection.execute(_READINGS, asked | spans)).all()
    traces: dict[int, list[list[Seen]]] = defaultdict(list)
    for (number, _), rows in groupby(found, key=lambda row: (row.number, row.device_id)):
        traces[number].append([_seen(row) for row in rows])
    return [doubts(_told(charge, about[number]), traces[number]) for number, charge in enumerate(charges, 1)]


def _told(charge: Any, about: Any) -> Told:
    return Told(ln2_kg=charge["ln2_kg"], ln2_capacity_kg=about.ln2_capacity_kg, warm_c=about.upper_c)


def _seen(row: Any) -> Seen:
    return Seen(
        at=round(row.at_s * SECOND),
        temperature_c=row.temperature_c,
        ln2_kg=row.ln2_kg,
        flight_mode_until=None if row.flight_s is None else round(row.flight_s * SECOND),
    )
