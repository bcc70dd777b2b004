"""Pure: messages moved in time."""

from dataclasses import replace
from typing import Any

import orjson

from simulators.instants import moment, rfc3339
from simulators.replay.contents import instant_ms
from simulators.wire.message import RecordedMessage

_INSTANTS = ("measured_at", "flight_mode_until", "at")


def shift_message(message: RecordedMessage, by_ms: int) -> RecordedMessage:
    """Return a message with all its instants moved by `by_ms`. A payload that is not JSON stays as it is."""
    try:
        said = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return replace(message, at_ms=message.at_ms + by_ms)
    later = [_later(each, by_ms) for each in said] if isinstance(said, list) else _later(said, by_ms)
    return replace(message, at_ms=message.at_ms + by_ms, payload=orjson.dumps(later))


def _later(said: Any, by_ms: int) -> Any:
    if not isinstance(said, dict):
        return said
    changed = dict(said)
    for name in _INSTANTS:
        at_ms = instant_ms(said.get(name))
        if at_ms is not None:
            text = isinstance(said[name], str)
            changed[name] = rfc3339(moment(at_ms + by_ms)) if text else at_ms + by_ms
    return changed
