"""Pure: a batch of validated messages, encoded as the arrays that the INSERT statements take."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import orjson

from telemetry.ingest.sequences import join_ranges
from telemetry.ingest.validate_message import ParsedMessage, ValidatedMessage
from telemetry.model import JSON_FIELDS, ConnectionStatus, JsonObject, Reading, Source

ArrayTexts: TypeAlias = Sequence[str | None]
"""One array for each column, encoded by `encode_array`."""

_state_values = attrgetter(
    "measured_at", "temperature_c", "probe_ok", "battery_pct", "flight_mode_until", "set_aside"
)
_SET_ASIDE = Reading._fields.index("set_aside")
_position_values = attrgetter("measured_at", "lat", "lon")


class InsertBatch(NamedTuple):
    """What one transaction stores by INSERT; some of the readings may be stored already."""

    messages: Sequence[ValidatedMessage]
    source: Source
    readings: Sequence[Reading]
    """The readings of all messages, in the order of receipt."""
    states: ArrayTexts
    """For each device, by id: when it was last heard, its newest reading, its newest position, its status."""
    rows: ArrayTexts
    """The readings, with `received_at`."""
    sequences: ArrayTexts
    """Device id, boot, and first and last seq of the readings that need not be sent again, refused ones included."""

    @property
    def size(self) -> int:
        """The number of readings."""
        return len(self.readings)

    @property
    def sets_aside(self) -> bool:
        """Whether something of a reading is set aside."""
        return bool(self.rows) and self.rows[_SET_ASIDE] is not None

    @property
    def newest(self) -> datetime | None:
        """The time of measurement of the newest reading."""
        return max((reading.measured_at for reading in self.readings), default=None)


def prepare_insert(messages: Sequence[ValidatedMessage]) -> InsertBatch:
    """Combine validated messages from one source into a batch."""
    readings = [reading for message in messages for reading in message.readings]
    arrivals = [message.message.received_at for message in messages for _ in message.readings]
    heard = latest_heard(messages)
    statuses = [message.status for message in messages if message.status]
    return InsertBatch(
        messages=messages,
        source=messages[0].message.source,
        readings=readings,
        states=encode_arrays(state_rows(readings, heard, statuses)),
        rows=_encode_readings(readings, arrivals) if readings else (),
        sequences=encode_arrays(
            sequence_rows(number for message in messages for number in message.numbers())
        ),
    )


def encode_array(column: Sequence[Any]) -> str | None:
    """Encode values as the text of an array; None if all are None, which the server fills up with nulls.

    PostgreSQL's format is JSON's but for the brackets, as long as no string has control characters; ours have none.
    The driver's own encoder would take longer than all the rest of a transaction does in this process.
    """
    if column.count(None) == len(column):
        return None
    try:
        text = orjson.dumps(column).decode()
    except TypeError:  # an integer beyond 64 bits
        text = json.dumps(column)
    return f"{{{text[1:-1]}}}"


def encode_arrays(rows: Iterable[Sequence[Any]]) -> ArrayTexts:
    """Encode the columns of rows as arrays; an empty list if there are no rows."""
    return [encode_array(column) for column in zip(*rows, strict=True)]


def _encode_readings(readings: Sequence[Reading], arrivals: Sequence[datetime]) -> ArrayTexts:
    columns = zip(Reading._fields, zip(*readings, strict=True), strict=True)
    return [
        *(encode_array(_as_json(column) if name in JSON_FIELDS else column) for name, column in columns),
        encode_array(arrivals),
    ]


def _as_json(column: Sequence[JsonObject | None]) -> Sequence[str | None]:
    return [None if value is None else encode_json(value) for value in column]


def latest_heard(messages: Iterable[ValidatedMessage | ParsedMessage]) -> dict[str, datetime]:
    """Return when each device of the readings was heard: what others send of it was heard when it was measured."""
    heard: dict[str, datetime] = {}
    for message in messages:
        received_at = message.message.received_at
        if isinstance(message, ParsedMessage):
            heard[message.device_id] = received_at
            continue
        speaks_for = message.speaks_for
        for device_id, measured_at, *_ in message.readings:
            if speaks_for is None or device_id in speaks_for:
                heard[device_id] = received_at
            else:
                at = min(measured_at, received_at)
                heard[device_id] = max(at, heard.get(device_id, at))
    return heard


def state_rows(
    readings: Sequence[Reading], heard: Mapping[str, datetime], statuses: Iterable[ConnectionStatus]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `InsertBatch.states`; `heard` has the time of receipt for each device with readings."""
    newest: dict[str, Reading] = {}
    located: dict[str, Reading] = {}
    for reading in readings:
        device_id = reading.device_id
        if device_id not in newest or reading.measured_at > newest[device_id].measured_at:
            newest[device_id] = reading
        if reading.lat is not None and (
            device_id not in located or reading.measured_at > located[device_id].measured_at
        ):
            located[device_id] = reading
    latest_status: dict[str, ConnectionStatus] = {}
    for status in statuses:
        before = latest_status.get(status.device_id)
        if before is None or status.counts_after(before):
            latest_status[status.device_id] = status
    for device_id in sorted(heard.keys() | latest_status.keys()):
        yield (
            device_id,
            heard.get(device_id),
            *(_newest_values(newest[device_id]) if device_id in newest else (None,) * 6),
            *(_position_values(located[device_id]) if device_id in located else (None,) * 3),
            *(latest_status[device_id][1:] if device_id in latest_status else (None,) * 4),
        )


def _newest_values(reading: Reading) -> tuple[Any, ...]:
    values: tuple[Any, ...] = _state_values(reading)
    return values if values[-1] is None else (*values[:-1], encode_json(values[-1]))


def sequence_rows(numbers: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int, int]]:
    """Yield the rows of `InsertBatch.sequences`."""
    seqs: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for device_id, boot, seq in numbers:
        seqs[device_id, boot].append(seq)
    for (device_id, boot), received in sorted(seqs.items()):
        for first, last in join_ranges(received):
            yield device_id, boot, first, last


def encode_json(fields: JsonObject) -> str:
    """Encode unknown fields, or what is set aside, as they are stored."""
    try:
        return orjson.dumps(fields).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(fields)
