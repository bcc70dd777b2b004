"""Pure: a batch of which all readings are thought to be new, made ready for COPY."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from telemetry.ingest.copy_format import Copy, Rows, copy, device_ids, kind
from telemetry.ingest.insert_batch import Arrays, arrays, json_text, numbers, sequences, states
from telemetry.ingest.validate_columns import Block, Columns, microseconds
from telemetry.ingest.validate_message import Examined, Parcel
from telemetry.model import Reading, Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN = [
    (place, name)
    for place, name in enumerate(Reading._fields)
    if name not in {"device_id", "measured_at", "extra"}
]


class Fresh(NamedTuple):
    """What one transaction stores, if none of its readings is there yet."""

    examined: Sequence[Examined | Parcel]
    """Messages in the order of receipt; all that is in a parcel is good."""
    source: Source
    size: int
    """How many readings it has."""
    newest: datetime
    """When the latest of them was measured."""
    states: Arrays
    """As in Batch."""
    copy: Copy
    touched: Arrays
    """Of each device its id, and its earliest and latest reading."""
    sequences: Arrays
    """As in Batch."""


class _Newest(NamedTuple):
    """Of each device that good parcels came from, by its id."""

    readings: Sequence[Reading]
    """Its newest, and its newest with a position."""
    spans: Sequence[tuple[str, datetime, datetime]]
    """Its id, and when its earliest and its latest reading were measured."""


def prepare_fresh(taken: Sequence[Examined | Parcel], judged: Sequence[Columns] = ()) -> Fresh:
    """Put messages of one source together, with one reading at least; `judged` has those of the parcels."""
    examined = [one for one in taken if isinstance(one, Examined)]
    singly = [(reading, one.message.received_at) for one in examined for reading in one.readings]
    readings = [reading for reading, _ in singly]
    source = taken[0].message.source
    newest = [_newest(columns) for columns in judged]
    spans = chain.from_iterable(one.spans for one in newest)
    touched = _touched([*spans, *((r.device_id, r.measured_at, r.measured_at) for r in readings)])
    heard = dict(_heard(taken))
    statuses = [one.status for one in examined if one.status]
    latest = chain.from_iterable(one.readings for one in newest)
    lots = [_of_block(columns, block) for columns in judged for block in columns.blocks]
    return Fresh(
        examined=taken,
        source=source,
        size=len(readings) + sum(len(lot.measured) for lot in lots),
        newest=max(last for _, _, last in touched),
        states=arrays(states([*latest, *readings], heard, statuses)),
        copy=copy([*lots, *_of_readings(singly)], source),
        touched=arrays(touched),
        sequences=arrays(
            [*chain.from_iterable(map(_ranges, judged)), *sequences(numbers(readings, examined))],
        ),
    )


def _heard(taken: Sequence[Examined | Parcel]) -> Iterator[tuple[str, datetime]]:
    for one in taken:
        if isinstance(one, Parcel):
            yield one.device_id, one.message.received_at
        else:
            for reading in one.readings:
                yield reading.device_id, one.message.received_at


def _touched(spans: Sequence[tuple[str, datetime, datetime]]) -> list[tuple[str, datetime, datetime]]:
    touched: dict[str, tuple[datetime, datetime]] = {}
    for device_id, first, last in spans:
        known = touched.get(device_id)
        touched[device_id] = (min(first, known[0]), max(last, known[1])) if known else (first, last)
    return [(device_id, first, last) for device_id, (first, last) in sorted(touched.items())]


def _newest(columns: Columns) -> _Newest:
    ids, codes = _devices(columns)
    rows = np.flatnonzero(columns.good[columns.owner])
    devices = codes[columns.owner[rows]]
    order = np.lexsort((columns.measured[rows], devices))
    rows, devices = rows[order], devices[order]
    placed = np.zeros(len(columns.owner), np.bool_)
    for block in columns.blocks:
        placed[block.rows] = "lat" in block.values
    with_place = placed[rows]
    chosen = {*_last_of_each(rows, devices), *_last_of_each(rows[with_place], devices[with_place])}
    firsts, lasts = np.flatnonzero(_begins(devices)), np.flatnonzero(_ends(devices))
    spans = zip(
        devices[lasts].tolist(),
        columns.measured[rows[firsts]].tolist(),
        columns.measured[rows[lasts]].tolist(),
        strict=True,
    )
    return _Newest(
        [columns.reading(row) for row in sorted(chosen)],
        [(ids[device], _instant(first), _instant(last)) for device, first, last in spans],
    )


def _devices(columns: Columns) -> tuple[list[str], NDArray[np.intp]]:
    """Give the devices, and which of them each parcel came from."""
    numbered: dict[str, int] = {}
    codes = [numbered.setdefault(parcel.device_id, len(numbered)) for parcel in columns.parcels]
    return list(numbered), np.array(codes)


def _last_of_each(rows: NDArray[np.intp], devices: NDArray[np.intp]) -> list[int]:
    last: list[int] = rows[_ends(devices)].tolist()
    return last


def _begins(*keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark where values of sorted arrays begin."""
    begins = np.zeros(len(keys[0]), np.bool_)
    begins[:1] = True
    for key in keys:
        begins[1:] |= key[1:] != key[:-1]
    return begins


def _ends(devices: NDArray[np.intp]) -> NDArray[np.bool_]:
    ends = np.ones(len(devices), np.bool_)
    ends[:-1] = devices[1:] != devices[:-1]
    return ends


def _instant(microseconds_: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds_)


def _ranges(columns: Columns) -> Iterator[tuple[str, int, int, int]]:
    """Give device id, boot, first and last of consecutive numbers."""
    ids, codes = _devices(columns)
    for block in columns.blocks:
        seqs = block.values.get("seq")
        if seqs is None:
            continue
        devices = codes[columns.owner[block.rows]]
        boots = block.values.get("boot", np.zeros(len(seqs), np.int64))
        order = np.lexsort((seqs, boots, devices))
        devices, boots, seqs = devices[order], boots[order], seqs[order]
        begins = _begins(devices, boots)
        begins[1:] |= seqs[1:] - seqs[:-1] > 1
        firsts = np.flatnonzero(begins)
        lasts = np.append(firsts[1:], len(seqs)) - 1
        for device, boot, first, last in zip(
            devices[firsts].tolist(),
            boots[firsts].tolist(),
            seqs[firsts].tolist(),
            seqs[lasts].tolist(),
            strict=True,
        ):
            yield ids[device], boot, first, last


def _of_block(columns: Columns, block: Block) -> Rows:
    owner = columns.owner[block.rows]
    return Rows(
        device_ids(parcel.device_id for parcel in columns.parcels)[owner],
        columns.measured[block.rows],
        columns.received[owner],
        block.values,
    )


def _of_readings(singly: Sequence[tuple[Reading, datetime]]) -> Iterator[Rows]:
    """Put readings together by the fields that they have."""
    alike: dict[tuple[bool, ...], list[tuple[Reading, datetime]]] = {}
    for one in singly:
        alike.setdefault(tuple(value is None for value in one[0]), []).append(one)
    for absent, those in alike.items():
        fields = list(zip(*(reading for reading, _ in those), strict=True))
        yield Rows(
            device_ids(fields[0]),
            _instants(fields[1]),
            _instants([received_at for _, received_at in those]),
            {
                name: np.array(
                    _instants(fields[place]) if name == "flight_mode_until" else fields[place], kind(name)
                )
                for place, name in _PLAIN
                if not absent[place]
            },
            None if absent[-1] else [json_text(extra).encode() for extra in fields[-1]],
        )


def _instants(column: Sequence[datetime]) -> NDArray[np.int64]:
    return np.array([microseconds(instant) for instant in column], np.int64)
