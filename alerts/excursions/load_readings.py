"""Loads ranges of stored readings as columns: one statement for any number of ranges, one row for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import asyncpg
import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import EMPTY, Channel, Instants, Trace
from alerts.model import Instant, to_datetime, to_instant
from alerts.work.bulk import Connection

FROM_THE_START: Final = datetime.min.replace(tzinfo=UTC)
FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)

# Columns come as the bytes of the server's own array format, which are read at once: an object per value
# would take most of the time of an evaluation. $6 and $7 bound all ranges, because constants tell the planner
# which chunks of the hypertable to skip. The channels come as one matrix row per reading that has any of
# them; if not all readings have, with the instants of those that do. A column per channel would cost many
# times as much where readings have none.
_LOAD = """
SELECT requested.position, r.*
FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[]{manual})
         AS requested(position, device_id, starting, after, before{is_manual})
CROSS JOIN LATERAL (
    SELECT array_send(array_agg(measured_at)) AS instants, array_send(array_agg(celsius)) AS celsius,
        max(received_at) AS received_at{aggregates}
    FROM (
        SELECT measured_at, CASE WHEN probe_ok THEN coalesce(temperature_c, 'NaN') ELSE 'NaN' END AS celsius,
            received_at{values}
        FROM {readings} WHERE device_id = requested.device_id AND measured_at >= requested.starting
            AND measured_at > requested.after AND measured_at < requested.before AND measured_at >= $6 AND measured_at < $7
            {known}
        ORDER BY measured_at
    ) AS ordered
) AS r
WHERE r.instants IS NOT NULL
"""

# Where a plan has no logger, what people typed counts as well, unless the logger itself measured at that instant.
_COLUMNS_READ = (
    "device_id, measured_at, received_at, temperature_c, probe_ok, seq, boot, lat, lon, accuracy_m, ambient_c, battery_pct, "
    "tilt_deg, shock_g, lid_open, ln2_kg, flight_mode_until, extra"
)
_WITH_MANUAL = f"""(
            SELECT {_COLUMNS_READ} FROM readings
            UNION ALL
            SELECT {_COLUMNS_READ} FROM manual_readings AS m WHERE requested.manual AND NOT EXISTS (
                SELECT FROM readings AS r WHERE r.device_id = m.device_id AND r.measured_at = m.measured_at {{known}})
        ) AS of_both"""  # noqa: S608 -- our own words

_MATRIX = """, string_agg(carried, ''::bytea) AS carried,
        CASE WHEN count(carried) < count(*)
            THEN array_send(array_agg(measured_at) FILTER (WHERE carried IS NOT NULL)) END AS carried_at"""
_COLUMN = ", array_send(array_agg({name}_)) AS {name}_"

_MICROSECONDS = "(extract(epoch FROM {name}) * 1000000)::float8"
_VALUES: Final[Mapping[Channel, str]] = {
    # Clamped, since a JSON number may be out of range for a float.
    Channel.SECOND_C: "CASE WHEN jsonb_typeof(extra->'temperature_2_c') = 'number' "
    "THEN greatest(least((extra->'temperature_2_c')::numeric, 1e9), -1e9)::float8 END",
    Channel.LID_OPEN: "lid_open::int::float8",
    Channel.SEQ: "seq::float8",
    Channel.BOOT: "boot::float8",
    Channel.RECEIVED_AT: _MICROSECONDS.format(name="received_at"),
    Channel.FLIGHT_MODE_UNTIL: _MICROSECONDS.format(name="flight_mode_until"),
}
"""Channels that are not simply a column of the same name."""
_COLUMNS: Final = {Channel.SECOND_C: "extra"}
"""The column that is null where a channel is not carried, if it has another name."""
_ALWAYS_SENT: Final = frozenset({Channel.SEQ, Channel.BOOT, Channel.RECEIVED_AT})
"""Nearly always present, so they get columns of their own."""


@cache
def _sparse(channels: frozenset[Channel]) -> list[Channel]:
    return sorted(channels - _ALWAYS_SENT)


@cache
def _dense(channels: frozenset[Channel]) -> list[Channel]:
    return sorted(channels & _ALWAYS_SENT)


@cache
def _statement(channels: frozenset[Channel], *, known: bool, manual: bool) -> str:
    sparse, dense = _sparse(channels), _dense(channels)
    values = [f"coalesce({_VALUES[name]}, 'NaN') AS {name}_" for name in dense]
    if sparse:
        any_ = " OR ".join(f"{_COLUMNS.get(name, name)} IS NOT NULL" for name in sparse)
        row = " || ".join(f"float8send(coalesce({_VALUES.get(name, name)}, 'NaN'))" for name in sparse)
        values.append(f"CASE WHEN {any_} THEN {row} END AS carried")
    received = "AND received_at <= $8" if known else ""
    return _LOAD.format(
        aggregates="".join(_COLUMN.format(name=name) for name in dense) + (_MATRIX if sparse else ""),
        values="".join(f", {value}" for value in values),
        known=received,
        readings=_WITH_MANUAL.format(known=received) if manual else "readings",
        manual=f", ${9 if known else 8}::bool[]" if manual else "",
        is_manual=", manual" if manual else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRange:
    """The readings of a device with `starting <= at < before` and `at > after`; None is no bound."""

    device_id: str
    starting: Instant
    after: Instant | None = None
    before: Instant | None = None
    manual: bool = False
    """With what people typed, as far as the logger itself measured nothing at that instant: for plans without a logger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReadings:
    """The readings of one range."""

    trace: Trace
    received_at: Instant | None
    """When the newest arrival among them was received."""


_NOTHING: Final = LoadedReadings(trace=EMPTY, received_at=None)


async def load_readings(
    connection: Connection,
    ranges: Sequence[ReadingRange],
    channels: frozenset[Channel] = frozenset(),
    known_at: datetime | None = None,
) -> list[LoadedReadings]:
    """Load ranges with some channels, each in order of time.

    With `known_at`, only readings that had been received by then.
    """
    loaded = [_NOTHING] * len(ranges)
    if not ranges:
        return loaded
    starting = [to_datetime(range_.starting) for range_ in ranges]
    after = [FROM_THE_START if range_.after is None else to_datetime(range_.after) for range_ in ranges]
    before = [FOR_EVER if range_.before is None else to_datetime(range_.before) for range_ in ranges]
    manual = [range_.manual for range_ in ranges]
    rows = await connection.fetch(
        _statement(channels, known=known_at is not None, manual=any(manual)),
        range(len(ranges)),
        [range_.device_id for range_ in ranges],
        starting,
        after,
        before,
        min(map(max, starting, after)),
        max(before),
        *([] if known_at is None else [known_at]),
        *([manual] if any(manual) else []),
    )
    for row in rows:
        at = _instants(row["instants"])
        loaded[row["position"]] = LoadedReadings(
            trace=Trace(at, _floats(row["celsius"]), _channels(channels, row, at) if channels else {}),
            received_at=to_instant(row["received_at"]),
        )
    return loaded


_COUNT_MANUAL = """
SELECT (SELECT count(*) FROM manual_readings AS m WHERE m.device_id = requested.device_id
    AND m.measured_at >= requested.starting AND m.measured_at < requested.before AND m.received_at <= $4)
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY
    AS requested(device_id, starting, before, position) ORDER BY position
"""


async def count_manual(
    connection: Connection, ranges: Sequence[ReadingRange], known_at: datetime | None = None
) -> list[int]:
    """Count what people typed of each range, also where the logger itself measured, and what had been received by then."""
    rows = await connection.fetch(
        _COUNT_MANUAL,
        [range_.device_id for range_ in ranges],
        [to_datetime(range_.starting) for range_ in ranges],
        [FOR_EVER if range_.before is None else to_datetime(range_.before) for range_ in ranges],
        FOR_EVER if known_at is None else known_at,
    )
    return [row["count"] for row in rows]


def _channels(
    channels: frozenset[Channel], row: asyncpg.Record, at: Instants
) -> dict[Channel, NDArray[np.float64]]:
    """Return the channels that at least one reading carries."""
    found = {}
    for name in _dense(channels):
        values = _floats(row[f"{name}_"])
        if not np.isnan(values).all():
            found[name] = values
    if row["carried"] is not None:
        names = _sparse(channels)
        columns = np.frombuffer(row["carried"], ">f8").reshape(-1, len(names)).T.astype(np.float64, order="C")
        places = None if row["carried_at"] is None else np.searchsorted(at, _instants(row["carried_at"]))
        for number in np.flatnonzero(~np.isnan(columns).all(axis=1)).tolist():
            found[names[number]] = _spread(columns[number], places, len(at))
    return found


def _spread(values: NDArray[np.float64], places: NDArray[np.intp] | None, length: int) -> NDArray[np.float64]:
    """Return a column of this length with the values at `places`, or everywhere if None."""
    if places is None:
        return values
    column = np.full(length, np.nan)
    column[places] = values
    return column


# PostgreSQL counts microseconds from this instant.
_POSTGRES_EPOCH: Final = to_instant(datetime(2000, 1, 1, tzinfo=UTC))
_HEADER_BYTES: Final = 20
"""Dimensions, flags, type, and the length and lowest index of the one dimension; 4 bytes each
(array_send)."""


def _instants(array: bytes) -> Instants:
    return _values(array, ">i8").astype(np.int64) + _POSTGRES_EPOCH


def _floats(array: bytes) -> NDArray[np.float64]:
    return _values(array, ">f8").astype(np.float64)


def _values(array: bytes, type_: str) -> NDArray[Any]:
    """Decode an array of 8-byte values without nulls, each preceded by its length, from the server's bytes."""
    return np.frombuffer(array, dtype=[("length", ">i4"), ("value", type_)], offset=_HEADER_BYTES)["value"]
