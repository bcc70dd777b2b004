"""Pure: the readings, instants and numbers in a message."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from simulators.instants import milliseconds
from simulators.wire.message import RecordedMessage
from simulators.wire.topics import carries_readings


def readings_in(message: RecordedMessage) -> list[dict[str, Any]]:
    """Return the readings that a message carries; none if it carries something else, or cannot be read."""
    if not carries_readings(message.topic):
        return []
    try:
        said = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return []
    each = said if isinstance(said, list) else [said]
    return [reading for reading in each if isinstance(reading, dict)]


def instant_ms(value: Any) -> int | None:
    """Return the epoch milliseconds of an instant, which may be text or a number; None if it is neither."""
    if type(value) is int:
        return value
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if at.tzinfo is None else milliseconds(at)


def numbers_in(readings: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Yield boot and seq of every reading that has them."""
    for reading in readings:
        boot, seq = reading.get("boot", 0), reading.get("seq")
        if type(seq) is int and type(boot) is int:
            yield boot, seq
