"""Pure: the readings of a logger's CSV as the messages that the logger would have sent."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

import orjson

from simulators.exports.reading import ExportedReading
from simulators.instants import milliseconds
from simulators.wire.message import RecordedMessage
from simulators.wire.topics import readings_topic


def numbered(
    readings: Sequence[ExportedReading], garbled: Iterable[tuple[str, datetime]] = ()
) -> list[ExportedReading]:
    """Return the readings with a `seq`, which counts the instants of each logger from 0 in the order of time.

    `garbled` are loggers and instants of lines that cannot be sent. They get numbers too: the service sees
    the gap, and the corrected file fills it. `boot` is the first instant of the logger in epoch milliseconds.
    So the same file always has the same numbers, and another file of the same logger has others.
    """
    instants: dict[str, set[datetime]] = {}
    for device_id, at in [*((reading.device_id, reading.measured_at) for reading in readings), *garbled]:
        instants.setdefault(device_id, set()).add(at)
    seqs = {
        device_id: {at: seq for seq, at in enumerate(sorted(those))} for device_id, those in instants.items()
    }
    boots = {device_id: milliseconds(min(those)) for device_id, those in instants.items()}
    return [
        replace(each, boot=boots[each.device_id], seq=seqs[each.device_id][each.measured_at])
        for each in readings
    ]


def as_messages(readings: Sequence[ExportedReading], at_once: int) -> Iterator[RecordedMessage]:
    """Yield messages of at most `at_once` readings of one logger.

    Each is due when its last reading was measured.
    """
    for device_id, run in groupby(readings, key=lambda reading: reading.device_id):
        of_one = list(run)
        for start in range(0, len(of_one), at_once):
            batch = of_one[start : start + at_once]
            said = [reading.fields() for reading in batch]
            yield RecordedMessage(
                milliseconds(batch[-1].measured_at),
                readings_topic(device_id),
                orjson.dumps(said[0] if len(said) == 1 else said),
            )
