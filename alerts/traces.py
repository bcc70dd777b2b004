"""Loads stretches of stored readings as columns: one statement for any number of them, one row for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import asyncpg
import numpy as np
from numpy.typing import NDArray

from alerts.model import Instant, to_datetime, to_instant
from alerts.trace import EMPTY, Trace

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

FROM_THE_START: Final = datetime.min.replace(tzinfo=UTC)
FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)

# The columns come as the bytes that the server would send for an array, which are read in one go: an object for each
# value would take most of the time of an evaluation. $6 and $7 bound all of the stretches: constants tell the planner
# which chunks of the hypertable can be left out.
_LOAD = """
SELECT wanted.position, array_send(r.instants) AS instants, array_send(r.celsius) AS celsius, r.received_at,
    r.quiet_until[cardinality(r.quiet_until)] AS quiet_until
FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
         AS wanted(position, device_id, starting, after, before)
CROSS JOIN LATERAL (
    SELECT array_agg(measured_at) AS instants, array_agg(celsius) AS celsius, max(received_at) AS received_at,
        array_agg(flight_mode_until) AS quiet_until
    FROM (
        SELECT measured_at, CASE WHEN probe_ok THEN coalesce(temperature_c, 'NaN') ELSE 'NaN' END AS celsius,
            received_at, flight_mode_until
        FROM readings WHERE device_id = wanted.device_id AND measured_at >= wanted.starting
            AND measured_at > wanted.after AND measured_at < wanted.before AND measured_at >= $6 AND measured_at < $7
        ORDER BY measured_at
    ) AS ordered
) AS r
WHERE r.instants IS NOT NULL
"""

_LOAD_KNOWN = _LOAD.replace("AND measured_at < $7", "AND measured_at < $7 AND received_at <= $8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Readings of a device with `starting <= measured_at < before` and `measured_at > after`; None is no bound."""

    device_id: str
    starting: Instant
    after: Instant | None = None
    before: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found of one stretch."""

    trace: Trace
    received_at: Instant | None
    """When the newest arrival among them was received."""
    quiet_until: Instant | None
    """How long a silence the reading measured last announced."""


_NOTHING: Final = Loaded(trace=EMPTY, received_at=None, quiet_until=None)


async def load(
    connection: Connection, stretches: Sequence[Wanted], known_at: datetime | None = None
) -> list[Loaded]:
    """Load stretches, each in the order of time; with `known_at`, only what had been received then."""
    loaded = [_NOTHING] * len(stretches)
    if not stretches:
        return loaded
    starting = [to_datetime(one.starting) for one in stretches]
    after = [FROM_THE_START if one.after is None else to_datetime(one.after) for one in stretches]
    before = [FOR_EVER if one.before is None else to_datetime(one.before) for one in stretches]
    rows = await connection.fetch(
        _LOAD if known_at is None else _LOAD_KNOWN,
        range(len(stretches)),
        [one.device_id for one in stretches],
        starting,
        after,
        before,
        min(map(max, starting, after)),
        max(before),
        *([] if known_at is None else [known_at]),
    )
    for position, instants, celsius, received_at, quiet_until in rows:
        loaded[position] = Loaded(
            trace=Trace(
                _values(instants, ">i8").astype(np.int64) + _POSTGRES_EPOCH,
                _values(celsius, ">f8").astype(np.float64),
            ),
            received_at=to_instant(received_at),
            quiet_until=None if quiet_until is None else to_instant(quiet_until),
        )
    return loaded


# PostgreSQL counts microseconds from another year on.
_POSTGRES_EPOCH: Final = to_instant(datetime(2000, 1, 1, tzinfo=UTC))
_HEADER_BYTES: Final = 20
"""Dimensions, flags, type, and of the one dimension its length and lowest index; 4 bytes each (array_send)."""


def _values(array: bytes, type_: str) -> NDArray[Any]:
    """Read an array of 8-byte values without nulls, each after its length, from the server's own bytes."""
    return np.frombuffer(array, dtype=[("length", ">i4"), ("value", type_)], offset=_HEADER_BYTES)["value"]
