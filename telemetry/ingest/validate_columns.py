"""Pure: validate the readings of many messages at once, column by column.

Validating readings one by one takes three times as long. So readings are grouped by the fields that they have, and each
field of a group is checked as one NumPy array. The verdict is on whole messages: one with anything unusual in it, valid
or not, is left to `validate_message`. Whatever is found valid here, `validate_reading` accepts with the same values.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import itemgetter, ne
from types import NoneType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from telemetry.ingest.validate_message import ParsedMessage, validate_item
from telemetry.ingest.validate_reading import FIELDS, LAST_MILLISECOND, MAX_AHEAD, FieldSpec, parse_instant
from telemetry.model import Reading
from telemetry.timekeeping.possible_times import RECENT

K = TypeVar("K")
Microseconds: TypeAlias = NDArray[np.int64]
"""Instants as microseconds since 1970."""
Indices: TypeAlias = NDArray[np.intp]
Mask: TypeAlias = NDArray[np.bool_]

CHUNK_READINGS = 500
"""Readings per chunk, at least; a chunk takes about half a millisecond to validate."""
MIN_GROUP = 16
"""Readings with the same fields for which columns pay off; fewer are left to `validate_message`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_AHEAD_US = MAX_AHEAD // _MICROSECOND
_RECENT_US = RECENT // _MICROSECOND
_ANY_TIME = np.iinfo(np.int64)
_DTYPES: Mapping[tuple[type, ...], Any] = {(float, int): np.float64, (int,): np.int64, (bool,): np.bool_}


class FieldGroup(NamedTuple):
    """Readings that have the same fields."""

    rows: Indices
    """Their indices among all readings of the chunk, ascending."""
    values: dict[str, NDArray[Any]]
    """The values of each field except `device_id` and `measured_at`."""


class ReadingColumns(NamedTuple):
    """The readings of a chunk of messages as columns; only those of valid messages mean anything."""

    messages: Sequence[ParsedMessage]
    valid: Mask
    """For each message: whether all of it is valid."""
    owner: Indices
    """For each reading: the index of its message."""
    starts: Indices
    """For each message: the index of its first reading."""
    measured: Microseconds
    """For each reading."""
    received: Microseconds
    """For each message."""
    groups: Sequence[FieldGroup]
    """The readings of valid messages."""

    def reading(self, row: int) -> Reading:
        """Return the valid reading at this index."""
        message = self.messages[self.owner[row]]
        reading = validate_item(message, message.items[row - self.starts[self.owner[row]]])
        assert isinstance(reading, Reading)
        return reading


def chunks(messages: Iterable[ParsedMessage]) -> Iterator[list[ParsedMessage]]:
    """Split messages, in their order, into chunks to validate at once."""
    chunk, size = [], 0
    for message in messages:
        chunk.append(message)
        size += message.size
        if size >= CHUNK_READINGS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def validate_columns(messages: Sequence[ParsedMessage]) -> ReadingColumns:
    """Validate the readings of a chunk of messages; suspect messages are not looked at and count as not valid."""
    suspect = np.array([message.suspect for message in messages], np.bool_)
    items = list(chain.from_iterable(message.items for message in messages if not message.suspect))
    sizes = np.array([0 if message.suspect else message.size for message in messages], np.intp)
    owner = np.repeat(np.arange(len(messages)), sizes)
    received = np.array([to_microseconds(message.message.received_at) for message in messages], np.int64)
    sure = np.array([message.message.clock_is_sure for message in messages], np.bool_)
    readings = _Readings(
        items=items,
        device_ids=[message.device_id for message in messages],
        owner=owner,
        earliest=np.where(sure, received - _RECENT_US, _ANY_TIME.min)[owner],
        latest=np.where(sure, received + _MAX_AHEAD_US, _ANY_TIME.max)[owner],
        measured=np.zeros(len(items), np.int64),
        valid=np.zeros(len(items), np.bool_),
    )
    groups = [
        group
        for rows, names in _group_by_fields(items, range(len(items)))
        for group in _validate_group(readings, rows, names)
    ]
    valid = ~suspect
    valid[owner[~readings.valid]] = False
    return ReadingColumns(
        messages=messages,
        valid=valid,
        owner=owner,
        starts=np.cumsum(sizes) - sizes,
        measured=readings.measured,
        received=received,
        groups=groups if valid.all() else list(_select(groups, valid[owner])),
    )


def to_microseconds(instant: datetime) -> int:
    """Convert an instant to microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


class _Readings(NamedTuple):
    """All readings of a chunk as sent, and the results of their validation, which are filled in."""

    items: Sequence[Any]
    device_ids: Sequence[str]
    """For each message."""
    owner: Indices
    earliest: Microseconds
    """For each reading: before that it depends on the logger whether it can be, and it is not judged by columns."""
    latest: Microseconds
    """For each reading: the latest `measured_at` that is allowed."""
    measured: Microseconds
    valid: Mask


def _group_by_fields(
    items: Sequence[Any], rows: Sequence[int]
) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """Group readings by the names of their fields; groups that are too small are left out."""
    shapes = [tuple(items[row]) if type(items[row]) is dict else None for row in rows]
    groups = {shapes[0]: rows} if len(set(shapes)) == 1 else _group(shapes, rows)
    for names, members in groups.items():
        if names is not None and len(members) >= MIN_GROUP and "measured_at" in names:
            yield members, names


def _group(keys: Sequence[K], rows: Sequence[int]) -> Mapping[K, Sequence[int]]:
    groups: defaultdict[K, list[int]] = defaultdict(list)
    for key, row in zip(keys, rows, strict=True):
        groups[key].append(row)
    return groups


def _validate_group(readings: _Readings, rows: Sequence[int], names: Sequence[str]) -> Iterator[FieldGroup]:
    """Validate readings that have these fields; where some values are null, split the group by which ones."""
    if not all(name in FIELDS or name in {"measured_at", "device_id"} for name in names):
        return
    items = [readings.items[row] for row in rows]
    columns = {name: list(map(itemgetter(name), items)) for name in names}
    types = {name: set(map(type, column)) for name, column in columns.items()}
    nullable = [name for name in names if NoneType in types[name]]
    if nullable:
        filled = [tuple(name for name in names if item[name] is not None) for item in items]
        for remaining, members in _group(filled, rows).items():
            if len(members) >= MIN_GROUP and "measured_at" in remaining:
                yield from _validate_group(readings, members, remaining)
        return
    if (("lat" in names) != ("lon" in names)) or not {"temperature_c", "probe_ok"} & set(names):
        return
    group = FieldGroup(np.array(rows), {})
    valid = _validate_times(readings, group.rows, columns.pop("measured_at"), types["measured_at"])
    if "device_id" in columns:
        owners = (readings.device_ids[message] for message in readings.owner[group.rows])
        valid &= ~np.fromiter(map(ne, columns.pop("device_id"), owners), np.bool_, len(rows))
    for name, column in columns.items():
        values, in_range = _validate_values(FIELDS[name], column, types[name])
        group.values[name] = values
        valid &= in_range
    if "temperature_c" not in names:
        valid &= ~group.values["probe_ok"]
    readings.valid[group.rows] = valid
    yield group


def _validate_values(field: FieldSpec, column: Sequence[Any], types: set[type]) -> tuple[NDArray[Any], Mask]:
    """Return the values of a field as an array, and which of them are valid."""
    typed = np.ones(len(column), np.bool_)
    if not types <= set(field.types):
        typed = np.fromiter((type(value) in field.types for value in column), np.bool_, len(column))
        column = [value if is_typed else 0 for value, is_typed in zip(column, typed, strict=True)]
    values = np.array(column, _DTYPES[field.types])
    return values, typed & (values >= field.low) & (values <= field.high)


def _validate_times(readings: _Readings, rows: Indices, column: Sequence[Any], types: set[type]) -> Mask:
    """Record the times of measurement, and return which of them are valid."""
    if types == {int}:
        milliseconds = np.array(column, np.int64)
        valid = (milliseconds >= 0) & (milliseconds <= LAST_MILLISECOND)
        measured = np.where(valid, milliseconds, 0) * 1000
    else:
        instants = [parse_instant(value) for value in column]
        valid = np.fromiter((type(instant) is datetime for instant in instants), np.bool_, len(column))
        measured = np.array(
            [to_microseconds(instant) if isinstance(instant, datetime) else 0 for instant in instants]
        )
    readings.measured[rows] = measured
    return valid & (measured <= readings.latest[rows]) & (measured >= readings.earliest[rows])


def _select(groups: Iterable[FieldGroup], valid: Mask) -> Iterator[FieldGroup]:
    for group in groups:
        mask = valid[group.rows]
        if mask.any():
            yield FieldGroup(group.rows[mask], {name: values[mask] for name, values in group.values.items()})
