"""What was refused of each registered logger, by hour: so that shipments learn of it, and never take it for silence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from telemetry.channels import NotifyChannel
from telemetry.model import NOT_OF_THE_LOGGER, RawMessage, Refusal, RefusalReason
from telemetry.timekeeping.faults import ClockFault

COLDEST_C, HOTTEST_C = -273.15, 150.0
"""A temperature outside of these, in °C, is that of a broken probe."""
INSTANTS_AT_MOST: Final = 400
"""Of conflicts; more than an hour of a logger that measures every ten seconds."""
_DETAIL_CHARS: Final = 300

# The marks make shipments due that the logger is on; what is folded of them stays, as no reading is new: hence the day.
_COUNT: Final = f"""
WITH sent AS (
    SELECT s.* FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
        $8::timestamptz[], $9::timestamptz[], $10::float8[], $11::float8[], $12::text[], $13::text[])
        AS s (device_id, hour, reason, fault, first_at, last_at, readings, sent_at, true_at, least_c, most_c, detail, instants)
    JOIN devices USING (device_id)
), counted AS (
    INSERT INTO refused_hours AS h
        (device_id, hour, reason, fault, first_at, last_at, readings, sent_at, true_at, least_c, most_c, detail, instants)
    SELECT device_id, hour, reason, fault, first_at, last_at, readings, sent_at, true_at, least_c, most_c, detail,
        instants::timestamptz[]
    FROM sent ORDER BY device_id, hour, reason, fault
    ON CONFLICT (device_id, hour, reason, fault) DO UPDATE SET
        first_at = least(h.first_at, excluded.first_at),
        last_at = greatest(h.last_at, excluded.last_at),
        readings = h.readings + excluded.readings,
        least_c = least(h.least_c, excluded.least_c),
        most_c = greatest(h.most_c, excluded.most_c),
        instants = (h.instants || excluded.instants)[1:{INSTANTS_AT_MOST}]
    RETURNING device_id, first_at, last_at
), marks AS (
    INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from)
    SELECT DISTINCT a.shipment_id, device_id, now() + interval '1 day'
    FROM counted JOIN device_assignments AS a USING (device_id)
    WHERE a.starts_at <= last_at AND (a.ends_at IS NULL OR a.ends_at > first_at)
    RETURNING id
)
SELECT pg_notify($14, '') FROM marks LIMIT 1
"""  # noqa: S608 -- our own words


@dataclass(slots=True)
class _Hour:
    first_at: datetime
    last_at: datetime
    readings: int = 0
    sent_at: datetime | None = None
    true_at: datetime | None = None
    least_c: float | None = None
    most_c: float | None = None
    detail: str = ""
    instants: list[datetime] = field(default_factory=list)


_Key = tuple[str, datetime, str, str]


def hours(told: Iterable[tuple[RawMessage, Sequence[Refusal]]]) -> dict[_Key, _Hour]:
    """Return what a batch adds, by logger, hour of receipt, reason and fault; only refusals that loggers caused."""
    found: dict[_Key, _Hour] = {}
    for message, refusals in told:
        at = message.received_at
        for refusal in refusals:
            if refusal.device_id is None or refusal.reason in NOT_OF_THE_LOGGER:
                continue
            is_ahead = refusal.reason is RefusalReason.CLOCK_AHEAD
            fault = ClockFault.AHEAD.value if is_ahead else refusal.fault or ""
            key = (
                refusal.device_id,
                at.replace(minute=0, second=0, microsecond=0),
                refusal.reason.value,
                fault,
            )
            hour = found.get(key)
            if hour is None:
                hour = found[key] = _Hour(at, at, 0, refusal.sent_at, refusal.true_at, detail=refusal.detail)
            hour.first_at, hour.last_at = min(hour.first_at, at), max(hour.last_at, at)
            hour.readings += 1
            if (celsius := refusal.temperature_c) is not None and COLDEST_C <= celsius <= HOTTEST_C:
                hour.least_c = celsius if hour.least_c is None else min(hour.least_c, celsius)
                hour.most_c = celsius if hour.most_c is None else max(hour.most_c, celsius)
            if refusal.reason is RefusalReason.CONFLICT and refusal.sent_at is not None:
                hour.instants.append(refusal.sent_at)
    return found


async def count(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy,
    told: Iterable[tuple[RawMessage, Sequence[Refusal]]],
) -> None:
    """Count what was refused of registered loggers, and have the shipments looked at that they are on."""
    rows = [
        (
            *key,
            hour.first_at,
            hour.last_at,
            hour.readings,
            hour.sent_at,
            hour.true_at,
            hour.least_c,
            hour.most_c,
            hour.detail.replace("\0", "\\0").encode(errors="backslashreplace").decode()[:_DETAIL_CHARS],
            _array(hour.instants[:INSTANTS_AT_MOST]),
        )
        for key, hour in sorted(hours(told).items())
    ]
    if rows:
        await connection.execute(_COUNT, *zip(*rows, strict=True), NotifyChannel.EVALUATION)


def _array(instants: Sequence[datetime]) -> str:
    """Return an array of instants as text: arrays of arrays of several lengths are none."""
    return "{" + ",".join(f'"{one.isoformat()}"' for one in instants) + "}"
