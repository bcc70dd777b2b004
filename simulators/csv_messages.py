"""Pure: readings of a trace as the messages that a logger would have sent."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import orjson

from simulators.clock import milliseconds
from simulators.csv_trace import Reading
from simulators.recording import Recorded


def as_messages(readings: Sequence[Reading], at_once: int) -> Iterator[Recorded]:
    """Yield messages of at most so many readings of one logger, due when the last of them was measured."""
    for device_id, run in groupby(readings, key=lambda reading: reading.device_id):
        of_one = list(run)
        for start in range(0, len(of_one), at_once):
            batch = of_one[start : start + at_once]
            said = [reading.fields() for reading in batch]
            yield Recorded(
                milliseconds(batch[-1].measured_at),
                f"dewar/v1/{device_id}/readings",
                orjson.dumps(said[0] if len(said) == 1 else said),
            )
