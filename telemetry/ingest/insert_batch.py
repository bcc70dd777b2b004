"""Pure: judged messages as the arrays that the statements take, so that a transaction only has to send them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import orjson

from telemetry.ingest.sequences import ranges
from telemetry.ingest.validate_message import Examined
from telemetry.model import JsonObject, Reading, Source, Status

Arrays: TypeAlias = Sequence[str | None]
"""One text for each column, as `array` writes it."""

_state = attrgetter("measured_at", "temperature_c", "probe_ok", "battery_pct", "flight_mode_until")
_position = attrgetter("measured_at", "lat", "lon")


class Batch(NamedTuple):
    """What one transaction stores."""

    examined: Sequence[Examined]
    source: Source
    readings: Sequence[Reading]
    """Those of all messages, in the order of receipt."""
    states: Arrays
    """Of each device by its id: when it was last heard, its newest reading, its newest position, its status."""
    rows: Arrays
    """The readings, with `received_at`."""
    sequences: Arrays
    """Device id, boot, first and last seq of all that need not be sent again: what is refused is kept, too."""

    @property
    def size(self) -> int:
        """How many readings it has."""
        return len(self.readings)

    @property
    def newest(self) -> datetime | None:
        """When the latest of its readings was measured."""
        return max((reading.measured_at for reading in self.readings), default=None)


def prepare(examined: Sequence[Examined]) -> Batch:
    """Put judged messages of one source together."""
    readings = [reading for one in examined for reading in one.readings]
    arrivals = [one.message.received_at for one in examined for _ in one.readings]
    heard = {reading.device_id: at for reading, at in zip(readings, arrivals, strict=True)}
    statuses = [one.status for one in examined if one.status]
    return Batch(
        examined=examined,
        source=examined[0].message.source,
        readings=readings,
        states=arrays(states(readings, heard, statuses)),
        rows=_reading_arrays(readings, arrivals) if readings else (),
        sequences=arrays(sequences(numbers(readings, examined))),
    )


def array(column: Sequence[Any]) -> str | None:
    """Write values as the text of an array; None where all are absent, which the server fills up with nulls.

    PostgreSQL's format is JSON's but for the brackets, as long as no text has control characters; ours have none. The
    driver's own encoder would take longer than all the rest of a transaction does in this process.
    """
    if column.count(None) == len(column):
        return None
    try:
        text = orjson.dumps(column).decode()
    except TypeError:  # an integer beyond 64 bits
        text = json.dumps(column)
    return f"{{{text[1:-1]}}}"


def arrays(rows: Iterable[Sequence[Any]]) -> Arrays:
    """Write the columns of rows as arrays; nothing where there are no rows."""
    return [array(column) for column in zip(*rows, strict=True)]


def _reading_arrays(readings: Sequence[Reading], arrivals: Sequence[datetime]) -> Arrays:
    *columns, extras = zip(*readings, strict=True)
    texts = [None if extra is None else json_text(extra) for extra in extras]
    return [*map(array, columns), array(texts), array(arrivals)]


def states(
    readings: Sequence[Reading], heard: Mapping[str, datetime], statuses: Iterable[Status]
) -> Iterator[tuple[Any, ...]]:
    """Give the rows of `Batch.states`; `heard` tells when each device was."""
    newest: dict[str, Reading] = {}
    placed: dict[str, Reading] = {}
    for reading in readings:
        device_id = reading.device_id
        if device_id not in newest or reading.measured_at > newest[device_id].measured_at:
            newest[device_id] = reading
        if reading.lat is not None and (
            device_id not in placed or reading.measured_at > placed[device_id].measured_at
        ):
            placed[device_id] = reading
    said = {status.device_id: status for status in statuses}
    for device_id in sorted(heard.keys() | said.keys()):
        yield (
            device_id,
            heard.get(device_id),
            *(_state(newest[device_id]) if device_id in newest else (None,) * 5),
            *(_position(placed[device_id]) if device_id in placed else (None,) * 3),
            *(said[device_id][1:] if device_id in said else (None,) * 2),
        )


def numbers(readings: Iterable[Reading], examined: Iterable[Examined]) -> Iterator[tuple[str, int, int]]:
    """Give device id, boot and seq of readings, and of all that is refused in the messages."""
    for reading in readings:
        if reading.seq is not None:
            yield reading.device_id, reading.boot or 0, reading.seq
    for one in examined:
        for refused in one.refused:
            if refused.device_id is not None and refused.seq is not None:
                yield refused.device_id, refused.boot or 0, refused.seq


def sequences(arrivals: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int, int]]:
    """Give the rows of `Batch.sequences`."""
    seqs: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for device_id, boot, seq in arrivals:
        seqs[device_id, boot].append(seq)
    for (device_id, boot), arrived in sorted(seqs.items()):
        for first, last in ranges(arrived):
            yield device_id, boot, first, last


def json_text(extra: JsonObject) -> str:
    """Write unknown fields as they are stored."""
    try:
        return orjson.dumps(extra).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(extra)
