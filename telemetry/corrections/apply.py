"""Applies corrections of clocks to what is stored, and takes them back; each in the transaction of the caller.

The logger's row is locked first, as for storing. Readings that had a wrong time leave the readings and are kept as they were
(`displaced_readings`); with the corrected time they are new readings, known from the correction on. So what was known before
is still known for then, and taking a correction back is the same the other way round. Readings that were refused are read from
the evidence. A reading is corrected by one correction at a time.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

from telemetry.channels import NotifyChannel
from telemetry.corrections.clock_correction import ClockCorrection, OfWhich
from telemetry.ingest import store
from telemetry.ingest.insert_batch import prepare_insert
from telemetry.ingest.take_in import kept_reading
from telemetry.ingest.validate_message import ValidatedMessage
from telemetry.ingest.validate_reading import validate_reading
from telemetry.model import RawMessage, Reading, RefusalReason, Source
from telemetry.timekeeping.possible_times import AHEAD_AT_MOST, LoggerHistory, is_possible

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

AT_MOST: Final = 100_000
"""Readings of one correction: seventy days of a reading a minute."""
TAKEN_UP: Final = (RefusalReason.CLOCK_BEHIND, RefusalReason.CLOCK_AHEAD, RefusalReason.CONFLICT)
"""What was refused for these reasons may only have had a wrong time."""

_LOCK: Final = "SELECT clock_timestamp() FROM device_states WHERE device_id = $1 FOR NO KEY UPDATE"

_NOW: Final = "SELECT clock_timestamp()"

_STORED: Final = """
SELECT measured_at, temperature_c, probe_ok, to_jsonb(r)::text AS reading FROM readings AS r
WHERE device_id = $1 AND measured_at >= $2 AND measured_at < $3
    AND ($4::timestamptz IS NULL OR received_at >= $4) AND ($5::timestamptz IS NULL OR received_at < $5)
    AND NOT EXISTS (SELECT FROM corrected_readings AS c WHERE c.device_id = $1 AND c.measured_at = r.measured_at)
ORDER BY measured_at LIMIT $6
"""

# Who named a logger by HTTP in a reading that was ahead may not have been allowed to speak for it: that was not looked at.
_REFUSED: Final = f"""
SELECT r.id, r.position, r.reading, m.received_at, m.source,
    CASE WHEN coalesce(m.size, octet_length(m.payload)) = octet_length(m.payload) THEN m.payload END AS whole
FROM refusals AS r JOIN refused_messages AS m ON m.id = r.message_id
WHERE r.device_id = $1 AND r.reason = ANY($2::text[])
    AND (m.source = '{Source.MQTT}' OR r.reason <> '{RefusalReason.CLOCK_AHEAD}')
    AND ($3::timestamptz IS NULL OR m.received_at >= $3) AND ($4::timestamptz IS NULL OR m.received_at < $4)
    AND NOT EXISTS (SELECT FROM corrected_readings AS c WHERE c.device_id = $1 AND c.refusal_id = r.id)
ORDER BY r.id LIMIT $5
"""  # noqa: S608 -- our own words

_THERE: Final = """
SELECT measured_at, temperature_c, probe_ok FROM readings
WHERE device_id = $1 AND measured_at = ANY($2::timestamptz[]) AND measured_at BETWEEN $3 AND $4
"""
_DISPLACE: Final = "SELECT displace_readings($1, $2, $3, $4::timestamptz[], $5, $6)"
_PUT_IN: Final = """
INSERT INTO readings SELECT p.* FROM unnest($1::text[]) AS put (reading)
    CROSS JOIN jsonb_populate_record(NULL::readings, put.reading::jsonb) AS p
ON CONFLICT DO NOTHING RETURNING measured_at
"""
# With its new time, as received now: until now nobody knew it.
_PUT_IN_ANEW: Final = """
INSERT INTO readings SELECT p.* FROM unnest($1::text[], $2::timestamptz[]) AS put (reading, measured_at)
    CROSS JOIN jsonb_populate_record(NULL::readings,
        put.reading::jsonb || jsonb_build_object('measured_at', put.measured_at, 'received_at', $3::timestamptz)) AS p
ON CONFLICT DO NOTHING RETURNING measured_at
"""
_NOTE_CORRECTED: Final = """
INSERT INTO corrected_readings (device_id, measured_at, sent_at, correction_id, refusal_id)
SELECT $1, measured_at, sent_at, $2, refusal_id
FROM unnest($3::timestamptz[], $4::timestamptz[], $5::bigint[]) AS made (measured_at, sent_at, refusal_id)
"""
_RECORD: Final = """
INSERT INTO clock_corrections (device_id, offset_s, measured_from, measured_until, received_from, received_until, of_which,
    reason, "by", recorded_at, taken_up, moved, left_out)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id
"""

_CONTINUE: Final = """
UPDATE clock_corrections SET measured_from = least(measured_from, $3), measured_until = greatest(measured_until, $4),
    taken_up = taken_up + $11, moved = moved + $12, left_out = left_out + $13
WHERE device_id = $1 AND offset_s IS NOT DISTINCT FROM $2::float8 AND received_from IS NOT DISTINCT FROM $5::timestamptz
    AND received_until IS NOT DISTINCT FROM $6::timestamptz AND of_which = $7 AND reason = $8 AND "by" = $9
    AND reversed_at IS NULL AND recorded_at <= $10
RETURNING id
"""

_COUNT: Final = """
UPDATE clock_corrections SET taken_up = taken_up + $2, moved = moved + $3, left_out = greatest(left_out, $4) WHERE id = $1
"""

# What the readings of a logger between two instants are judged by changes.
_MARK: Final = """
WITH marks AS (
    INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from)
    SELECT shipment_id, device_id, greatest(first, starts_at)
    FROM unnest($2::timestamptz[], $3::timestamptz[]) AS touched (first, last)
        JOIN device_assignments ON device_id = $1
    WHERE starts_at <= last AND (ends_at IS NULL OR ends_at > first)
    RETURNING id
)
SELECT pg_notify($4, '') FROM marks LIMIT 1
"""
_LATEST_AGAIN: Final = """
UPDATE device_states AS s SET (measured_at, temperature_c, probe_ok, battery_pct, flight_mode_until) = (
    SELECT measured_at, temperature_c, probe_ok, battery_pct, flight_mode_until FROM readings AS r
    WHERE r.device_id = s.device_id ORDER BY measured_at DESC LIMIT 1)
WHERE device_id = $1
"""

_CORRECTED: Final = """
SELECT c.measured_at, to_jsonb(r)::text AS reading
FROM corrected_readings AS c JOIN readings AS r ON r.device_id = c.device_id AND r.measured_at = c.measured_at
WHERE c.correction_id = $1 AND r.measured_at BETWEEN $2 AND $3
"""
_SPAN_OF_CORRECTED: Final = """
SELECT min(measured_at) AS first, max(measured_at) AS last FROM corrected_readings WHERE correction_id = $1
"""
_ORIGINALS: Final = """
SELECT measured_at, reading::text AS reading FROM displaced_readings
WHERE correction_id = $1 AND restored_at IS NULL ORDER BY measured_at
"""
_RESTORED: Final = """
UPDATE displaced_readings SET restored_at = $2 WHERE correction_id = $1 AND restored_at IS NULL
"""
_REVERSED: Final = """
UPDATE clock_corrections SET reversed_at = $2, reversed_by = $3, reversed_reason = $4 WHERE id = $1
"""


class NothingToCorrectError(Exception):
    """No reading of the logger is in the stretch."""


class TooManyReadingsError(Exception):
    """The stretch has more readings than can be corrected at once."""


class ImpossibleTimeError(Exception):
    """A corrected time cannot be either."""

    def __init__(self, sent_at: datetime, corrected: datetime | None) -> None:
        super().__init__("a corrected time cannot be")
        self.sent_at, self.corrected = sent_at, corrected


class TimesTakenError(Exception):
    """Other readings of the logger have the times that stored ones would get."""

    def __init__(self, instants: Sequence[datetime]) -> None:
        super().__init__(f"{len(instants)} times are taken")
        self.instants = sorted(instants)


Before: TypeAlias = Callable[[Sequence[tuple[datetime, datetime]]], Awaitable[None]]


async def _nothing(_: Sequence[tuple[datetime, datetime]]) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a correction did."""

    id: UUID
    recorded_at: datetime


@dataclass(slots=True)
class _Found:
    """The readings that a correction is about."""

    stored: list[asyncpg.Record] = field(default_factory=list)
    refused: dict[datetime, tuple[int, Reading, Source]] = field(default_factory=dict)
    """By the time that was sent: the refusal, what was refused, and how it came."""
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.stored) + len(self.refused)

    def instants(self) -> list[datetime]:
        """Return all times that were sent."""
        return [*(row["measured_at"] for row in self.stored), *self.refused]


async def apply(
    connection: Connection,
    correction: ClockCorrection,
    *,
    by: str,
    reason: str,
    as_far_as_it_fits: bool = False,
    before: Before = _nothing,
) -> Applied:
    """Correct the times of a stretch of readings, and have the shipments judged again that they are or were of.

    All stored readings of the stretch are moved, or none. Raises the errors above. `as_far_as_it_fits`: what was refused and
    would get a time that cannot be is left as it is; the correction says of which stretch it is then, and continues one that
    says the same. `before` is called with the spans of time that are touched, once it is certain that it is done and before it is.
    """
    now: datetime = await connection.fetchval(_LOCK, correction.device_id)
    found = await _find(connection, correction)
    times = await _corrected_times(connection, correction, found, now, leave_out=as_far_as_it_fits)
    if not times:
        raise NothingToCorrectError
    if as_far_as_it_fits:
        correction = replace(
            correction, measured_from=min(times), measured_until=max(times) + timedelta(microseconds=1)
        )
    await _stop_if_taken(connection, correction.device_id, found, times)
    was = [row["measured_at"] for row in found.stored]
    await before(_spans(was, list(times.values())))
    now = await connection.fetchval(_NOW)
    offset_s = None if correction.offset is None else correction.offset.total_seconds()
    record = (
        correction.device_id,
        offset_s,
        correction.measured_from,
        correction.measured_until,
        correction.received_from,
        correction.received_until,
        correction.of_which,
        reason,
        by,
        now,
        *(0, 0, 0),
    )
    id_ = await connection.fetchval(_CONTINUE, *record) if as_far_as_it_fits else None
    if id_ is None:
        id_ = await connection.fetchval(_RECORD, *record)
    await _displace(connection, correction.device_id, id_, was, now)
    moved = await _put_in_moved(connection, found, times, now)
    taken_up = await _put_in_refused(connection, correction.device_id, found, times, now)
    left_out = found.left_out + len(found.refused) - len(taken_up)
    await connection.execute(_COUNT, id_, len(taken_up), len(found.stored), left_out)
    made: list[tuple[datetime, datetime, int | None]] = [
        (times[at], at, None) for at in was if times[at] in moved
    ]
    made += [(times[at], at, found.refused[at][0]) for at in taken_up]
    if made:
        columns = (list(column) for column in zip(*made, strict=True))
        await connection.execute(_NOTE_CORRECTED, correction.device_id, id_, *columns)
    await _look_again(connection, correction.device_id, was, [at for at, *_ in made])
    return Applied(id=id_, recorded_at=now)


async def reverse(
    connection: Connection, device_id: str, id_: UUID, *, by: str, reason: str, before: Before = _nothing
) -> None:
    """Take a correction back that holds: everything is where it was before, and shipments are judged again.

    Raises TimesTakenError where other readings were stored meanwhile that have the times of before. `before` is as for `apply`.
    """
    await connection.execute(_LOCK, device_id)
    span = await connection.fetchrow(_SPAN_OF_CORRECTED, id_)
    assert span is not None
    made = (
        [] if span["first"] is None else await connection.fetch(_CORRECTED, id_, span["first"], span["last"])
    )
    corrected = [row["measured_at"] for row in made]
    originals = await connection.fetch(_ORIGINALS, id_)
    await before(_spans(corrected, [row["measured_at"] for row in originals]))
    now: datetime = await connection.fetchval(_NOW)
    await connection.execute(_RESTORED, id_, now)
    await _displace(connection, device_id, id_, corrected, now)
    await connection.execute("DELETE FROM corrected_readings WHERE correction_id = $1", id_)
    put_in = await connection.fetch(_PUT_IN, [row["reading"] for row in originals])
    if taken := {row["measured_at"] for row in originals} - {row["measured_at"] for row in put_in}:
        raise TimesTakenError(list(taken))
    await connection.execute(_REVERSED, id_, now, by, reason)
    await _look_again(connection, device_id, corrected, [row["measured_at"] for row in originals])


async def _find(connection: Connection, correction: ClockCorrection) -> _Found:
    found = _Found()
    received = correction.received_from, correction.received_until
    if correction.of_which is not OfWhich.REFUSED:
        found.stored = await connection.fetch(
            _STORED,
            correction.device_id,
            correction.measured_from,
            correction.measured_until,
            *received,
            AT_MOST + 1,
        )
    if correction.of_which is not OfWhich.STORED:
        rows = await connection.fetch(_REFUSED, correction.device_id, list(TAKEN_UP), *received, AT_MOST + 1)
        for row in rows:
            _take_up(found, correction, row)
        if len(rows) > AT_MOST:
            raise TooManyReadingsError
    if len(found) > AT_MOST:
        raise TooManyReadingsError
    return found


def _take_up(found: _Found, correction: ClockCorrection, row: asyncpg.Record) -> None:
    """Read what was refused; the same that was sent again counts once, and what contradicts it is left out."""
    item = kept_reading(row)
    if item is None:
        found.left_out += 1
        return
    reading = validate_reading(item, device_id=correction.device_id, received_at=None, suspect=True)
    if not isinstance(reading, Reading):
        found.left_out += 1
        return
    if not correction.covers(reading.measured_at, row["received_at"]):
        return
    before = found.refused.get(reading.measured_at)
    if before is None:
        found.refused[reading.measured_at] = row["id"], reading, Source(row["source"])
    elif before[1] != reading:
        found.left_out += 1


async def _corrected_times(
    connection: Connection,
    correction: ClockCorrection,
    found: _Found,
    now: datetime,
    *,
    leave_out: bool,
) -> Mapping[datetime, datetime]:
    """Return the corrected time of each that was sent; all of them can be. `leave_out` forgets those that cannot."""
    histories = await store.histories(connection, [correction.device_id])
    history = histories.get(correction.device_id, LoggerHistory(now))
    times = {}
    for at in found.instants():
        try:
            corrected: datetime | None = correction.corrected(at)
        except OverflowError:
            corrected = None
        if (
            corrected is not None
            and corrected <= now + AHEAD_AT_MOST
            and is_possible(corrected, now, history)
        ):
            times[at] = corrected
        elif leave_out:
            found.refused.pop(at, None)
        else:
            raise ImpossibleTimeError(at, corrected)
    return times


async def _stop_if_taken(
    connection: Connection, device_id: str, found: _Found, times: Mapping[datetime, datetime]
) -> None:
    """Refuse to move a stored reading to where another one is, unless that says the same."""
    leaving = {row["measured_at"] for row in found.stored}
    wanted = {times[row["measured_at"]]: row for row in found.stored}
    wanted = {at: row for at, row in wanted.items() if at not in leaving}
    if not wanted:
        return
    rows = await connection.fetch(_THERE, device_id, list(wanted), min(wanted), max(wanted))
    taken = [
        row["measured_at"]
        for row in rows
        if (row["temperature_c"], row["probe_ok"])
        != (wanted[row["measured_at"]]["temperature_c"], wanted[row["measured_at"]]["probe_ok"])
    ]
    if taken:
        raise TimesTakenError(taken)


async def _put_in_moved(
    connection: Connection, found: _Found, times: Mapping[datetime, datetime], now: datetime
) -> set[datetime]:
    """Store what was moved at its new time; return at which it is stored."""
    if not found.stored:
        return set()
    texts = [row["reading"] for row in found.stored]
    rows = await connection.fetch(
        _PUT_IN_ANEW, texts, [times[row["measured_at"]] for row in found.stored], now
    )
    return {row["measured_at"] for row in rows}


async def _put_in_refused(
    connection: Connection,
    device_id: str,
    found: _Found,
    times: Mapping[datetime, datetime],
    now: datetime,
) -> list[datetime]:
    """Store what was refused, where nothing is yet; return the times that were sent of what is stored now."""
    taken_up: list[datetime] = []
    for source in Source:
        sent = [at for at, (_, _, how) in found.refused.items() if how is source]
        if not sent:
            continue
        readings = [found.refused[at][1]._replace(measured_at=times[at]) for at in sent]
        message = RawMessage(source=source, origin=device_id, payload=b"", received_at=now)
        batch = prepare_insert([ValidatedMessage(message, readings, [None] * len(readings))])
        new = await store.insert_readings(connection, batch)
        taken_up += sent if new is None else [at for at in sent if (device_id, times[at]) in new]
    return taken_up


async def _displace(
    connection: Connection, device_id: str, id_: UUID, instants: Collection[datetime], now: datetime
) -> None:
    """Take readings out, and keep them as they were."""
    if instants:
        await connection.execute(_DISPLACE, device_id, id_, now, list(instants), min(instants), max(instants))


def _spans(*touched: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    return [(min(instants), max(instants)) for instants in touched if instants]


async def _look_again(connection: Connection, device_id: str, *touched: Sequence[datetime]) -> None:
    if spans := _spans(*touched):
        first, last = zip(*spans, strict=True)
        await connection.execute(_MARK, device_id, list(first), list(last), NotifyChannel.EVALUATION)
        await connection.execute(_LATEST_AGAIN, device_id)
