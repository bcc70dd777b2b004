"""Pure: a batch whose readings are all expected to be new, encoded for COPY."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from telemetry.ingest.copy_format import CopyData, CopyRows, array_type, encode_copy, encode_device_ids
from telemetry.ingest.insert_batch import (
    ArrayTexts,
    encode_arrays,
    encode_json,
    latest_heard,
    sequence_rows,
    state_rows,
)
from telemetry.ingest.validate_columns import (
    FieldGroup,
    Indices,
    Mask,
    Microseconds,
    ReadingColumns,
    to_microseconds,
)
from telemetry.ingest.validate_message import ParsedMessage, ValidatedMessage
from telemetry.model import JSON_FIELDS, Reading, Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VALUE_FIELDS = [
    (position, name)
    for position, name in enumerate(Reading._fields)
    if name not in {"device_id", "measured_at", *JSON_FIELDS}
]

_DOCUMENTS = [(position, name) for position, name in enumerate(Reading._fields) if name in JSON_FIELDS]


class CopyBatch(NamedTuple):
    """What one transaction stores by COPY, provided that none of its readings is stored already."""

    messages: Sequence[ValidatedMessage | ParsedMessage]
    """In the order of receipt; all readings of a ParsedMessage are valid."""
    source: Source
    size: int
    """The number of readings."""
    newest: datetime
    """The time of measurement of the newest reading."""
    states: ArrayTexts
    """As in InsertBatch."""
    copy: CopyData
    spans: ArrayTexts
    """For each device: its id, and when its earliest and its latest reading were measured."""
    sequences: ArrayTexts
    """As in InsertBatch."""

    @property
    def sets_aside(self) -> bool:
        """Whether something of a reading is set aside."""
        return "set_aside" in self.copy.columns


class _DeviceSummary(NamedTuple):
    """What the device states and the spans need of the valid messages of a chunk."""

    readings: Sequence[Reading]
    """The newest reading of each device, and its newest with a position."""
    spans: Sequence[tuple[str, datetime, datetime]]
    """Device id, and when its earliest and its latest reading were measured."""


def prepare_copy(
    messages: Sequence[ValidatedMessage | ParsedMessage], chunks: Sequence[ReadingColumns] = ()
) -> CopyBatch:
    """Combine messages from one source, with at least one reading; `chunks` has the readings of the parsed ones."""
    validated = [message for message in messages if isinstance(message, ValidatedMessage)]
    arrivals = [(reading, one.message.received_at) for one in validated for reading in one.readings]
    readings = [reading for reading, _ in arrivals]
    source = messages[0].message.source
    summaries = [_summarize(columns) for columns in chunks]
    spans = _merge_spans(
        [
            *chain.from_iterable(summary.spans for summary in summaries),
            *((reading.device_id, reading.measured_at, reading.measured_at) for reading in readings),
        ]
    )
    heard = latest_heard(messages)
    statuses = [message.status for message in validated if message.status]
    newest = chain.from_iterable(summary.readings for summary in summaries)
    groups = [_group_rows(columns, group) for columns in chunks for group in columns.groups]
    return CopyBatch(
        messages=messages,
        source=source,
        size=len(readings) + sum(len(group.measured) for group in groups),
        newest=max(last for _, _, last in spans),
        states=encode_arrays(state_rows([*newest, *readings], heard, statuses)),
        copy=encode_copy([*groups, *_reading_rows(arrivals)], source),
        spans=encode_arrays(spans),
        sequences=encode_arrays(
            [
                *chain.from_iterable(map(_sequence_rows, chunks)),
                *sequence_rows(number for message in validated for number in message.numbers()),
            ]
        ),
    )


def _merge_spans(spans: Sequence[tuple[str, datetime, datetime]]) -> list[tuple[str, datetime, datetime]]:
    merged: dict[str, tuple[datetime, datetime]] = {}
    for device_id, first, last in spans:
        known = merged.get(device_id)
        merged[device_id] = (min(first, known[0]), max(last, known[1])) if known else (first, last)
    return [(device_id, first, last) for device_id, (first, last) in sorted(merged.items())]


def _summarize(columns: ReadingColumns) -> _DeviceSummary:
    ids, codes = _device_codes(columns)
    rows = np.flatnonzero(columns.valid[columns.owner])
    devices = codes[columns.owner[rows]]
    order = np.lexsort((columns.measured[rows], devices))
    rows, devices = rows[order], devices[order]
    has_position = np.zeros(len(columns.owner), np.bool_)
    for group in columns.groups:
        has_position[group.rows] = "lat" in group.values
    located = has_position[rows]
    newest = {*_last_of_each(rows, devices), *_last_of_each(rows[located], devices[located])}
    firsts, lasts = np.flatnonzero(_run_starts(devices)), np.flatnonzero(_run_ends(devices))
    spans = zip(
        devices[lasts].tolist(),
        columns.measured[rows[firsts]].tolist(),
        columns.measured[rows[lasts]].tolist(),
        strict=True,
    )
    return _DeviceSummary(
        [columns.reading(row) for row in sorted(newest)],
        [(ids[device], _to_instant(first), _to_instant(last)) for device, first, last in spans],
    )


def _device_codes(columns: ReadingColumns) -> tuple[list[str], Indices]:
    """Return the distinct device ids, and for each message the index of its device among them."""
    numbered: dict[str, int] = {}
    codes = [numbered.setdefault(message.device_id, len(numbered)) for message in columns.messages]
    return list(numbered), np.array(codes)


def _last_of_each(rows: Indices, devices: Indices) -> list[int]:
    last: list[int] = rows[_run_ends(devices)].tolist()
    return last


def _run_starts(*keys: NDArray[Any]) -> Mask:
    """Mark where each run of equal keys starts, in sorted arrays."""
    starts = np.zeros(len(keys[0]), np.bool_)
    starts[:1] = True
    for key in keys:
        starts[1:] |= key[1:] != key[:-1]
    return starts


def _run_ends(devices: Indices) -> Mask:
    ends = np.ones(len(devices), np.bool_)
    ends[:-1] = devices[1:] != devices[:-1]
    return ends


def _to_instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _sequence_rows(columns: ReadingColumns) -> Iterator[tuple[str, int, int, int]]:
    """Yield device id, boot, and first and last of consecutive sequence numbers."""
    ids, codes = _device_codes(columns)
    for group in columns.groups:
        seqs = group.values.get("seq")
        if seqs is None:
            continue
        devices = codes[columns.owner[group.rows]]
        boots = group.values.get("boot", np.zeros(len(seqs), np.int64))
        order = np.lexsort((seqs, boots, devices))
        devices, boots, seqs = devices[order], boots[order], seqs[order]
        starts = _run_starts(devices, boots)
        starts[1:] |= seqs[1:] - seqs[:-1] > 1
        firsts = np.flatnonzero(starts)
        lasts = np.append(firsts[1:], len(seqs)) - 1
        for device, boot, first, last in zip(
            devices[firsts].tolist(),
            boots[firsts].tolist(),
            seqs[firsts].tolist(),
            seqs[lasts].tolist(),
            strict=True,
        ):
            yield ids[device], boot, first, last


def _group_rows(columns: ReadingColumns, group: FieldGroup) -> CopyRows:
    owner = columns.owner[group.rows]
    return CopyRows(
        encode_device_ids(message.device_id for message in columns.messages)[owner],
        columns.measured[group.rows],
        columns.received[owner],
        group.values,
    )


def _reading_rows(arrivals: Sequence[tuple[Reading, datetime]]) -> Iterator[CopyRows]:
    """Group readings, each with its time of receipt, by the fields that they have."""
    groups: dict[tuple[bool, ...], list[tuple[Reading, datetime]]] = {}
    for arrival in arrivals:
        groups.setdefault(tuple(value is None for value in arrival[0]), []).append(arrival)
    for absent, members in groups.items():
        fields = list(zip(*(reading for reading, _ in members), strict=True))
        yield CopyRows(
            encode_device_ids(fields[0]),
            _instants(fields[1]),
            _instants([received_at for _, received_at in members]),
            {
                name: np.array(
                    _instants(fields[position]) if name == "flight_mode_until" else fields[position],
                    array_type(name),
                )
                for position, name in _VALUE_FIELDS
                if not absent[position]
            },
            {
                name: [encode_json(value).encode() for value in fields[position]]
                for position, name in _DOCUMENTS
                if not absent[position]
            },
        )


def _instants(column: Sequence[datetime]) -> Microseconds:
    return np.array([to_microseconds(instant) for instant in column], np.int64)
