"""Corrects by itself what is certain: seconds that were read as milliseconds, and rollovers of the GPS week.

Both are off by exactly so much, and what they would be otherwise lies decades away from any shipment. So an excursion in such
readings is found at once. The correction is on record like any other, by the service, and people can take it back; then the
same is not corrected once more of that logger.
"""

from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import asyncpg
import structlog

from telemetry.actor import Actor, ActorKind
from telemetry.corrections.apply import (
    Connection,
    ImpossibleTimeError,
    NothingToCorrectError,
    TimesTakenError,
    TooManyReadingsError,
    apply,
)
from telemetry.corrections.clock_correction import ClockCorrection, OfWhich
from telemetry.timekeeping.faults import CERTAIN, ROLLOVER, WORDS, ClockFault

log = structlog.get_logger(__name__)

BY: Final = Actor(ActorKind.RULE, "readings_refused")
_SINCE_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOR_EVER: Final = datetime(9999, 12, 30, tzinfo=UTC)

# Only what belongs to a shipment: of any other nobody waits for it, and people may still say when it was.
_DUE: Final = """
SELECT h.device_id, h.fault, h.sent_at, h.true_at, h.last_at FROM refused_hours AS h
WHERE h.hour >= date_trunc('hour', now()) - interval '2 days' AND h.fault = ANY($1::text[]) AND h.true_at IS NOT NULL
    AND EXISTS (SELECT FROM device_assignments AS a WHERE a.device_id = h.device_id AND a.starts_at <= h.true_at
        AND (a.ends_at IS NULL OR a.ends_at > h.true_at))
ORDER BY h.hour, h.device_id
"""
_TAKEN_BACK: Final = """
SELECT EXISTS (SELECT FROM clock_corrections WHERE device_id = $1 AND offset_s IS NOT DISTINCT FROM $2::float8
    AND "by" = $3 AND reversed_at IS NOT NULL)
"""

Done: TypeAlias = MutableMapping[tuple[str, str, datetime], datetime]
"""Up to when what was refused of a logger for a fault is corrected, by the time that its first reading of the hour carries."""


async def correct_certain(pool: asyncpg.Pool, done: Done) -> int:
    """Correct what has been refused lately for a fault that is certain; return of how many loggers."""
    corrected = 0
    for row in await pool.fetch(_DUE, [fault.value for fault in CERTAIN]):
        key = row["device_id"], row["fault"], row["sent_at"]
        if done.get(key) == row["last_at"]:
            continue
        async with pool.acquire() as connection, connection.transaction():
            corrected += await _correct(connection, row)
        done[key] = row["last_at"]
    return corrected


async def _correct(connection: Connection, row: asyncpg.Record) -> bool:
    fault = ClockFault(row["fault"])
    offset = None
    if fault is ClockFault.WEEK_ROLLOVER:
        offset = round((row["true_at"] - row["sent_at"]) / ROLLOVER) * ROLLOVER
    if await connection.fetchval(_TAKEN_BACK, row["device_id"], _seconds(offset), str(BY)):
        return False
    correction = ClockCorrection(
        device_id=row["device_id"],
        offset=offset,
        measured_from=_SINCE_1970,
        measured_until=_FOR_EVER,
        of_which=OfWhich.REFUSED,
    )
    try:
        await apply(
            connection, correction, by=str(BY), reason=f"certain: {WORDS[fault]}", as_far_as_it_fits=True
        )
    except NothingToCorrectError:
        return False
    except (ImpossibleTimeError, TimesTakenError, TooManyReadingsError) as error:
        log.warning("clock_not_corrected", device_id=row["device_id"], fault=fault.value, error=str(error))
        return False
    return True


def _seconds(offset: timedelta | None) -> float | None:
    return None if offset is None else offset.total_seconds()
