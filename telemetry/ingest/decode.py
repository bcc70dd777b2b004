"""Pure: parse topics and payloads into JSON values, or say why they are refused."""

import json
import math
from typing import Any, NamedTuple

import orjson

from telemetry.model import Refusal, RefusalReason

TOPIC_PREFIX = "dewar/v1/"
MAX_READINGS = 1000
MAX_BYTES = 64 * 1024
MAX_BYTES_PER_READING = 1024
MAX_PARSED_BYTES = 1024 * 1024

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_LONGEST_INTEGER = 300
"""In digits. Longer ones exceed a float and count as infinite; converting them would take quadratic time."""


class DecodedPayload(NamedTuple):
    """The JSON values of the readings in a payload, not yet validated."""

    items: list[Any]
    is_array: bool
    suspect: bool
    """Whether the payload may hold infinity or NaN, or a string with an escaped character that cannot be stored."""


def parse_topic(topic: str) -> tuple[str, str]:
    """Return the device id in a logger's topic, not validated, and the last level, `readings` or `status`."""
    device, _, kind = topic.rpartition("/")
    return device.removeprefix(TOPIC_PREFIX), kind


def decode(payload: bytes) -> DecodedPayload | Refusal:
    """Decode a payload of 1 to 1000 readings; above 64 KiB it may have 1 KiB for each reading."""
    if len(payload) > MAX_PARSED_BYTES:
        return _too_large(payload)
    parsed = parse_json(payload)
    if isinstance(parsed, Refusal):
        return _too_large(payload) if len(payload) > MAX_BYTES else parsed
    value, suspect = parsed
    is_array = isinstance(value, list)
    items = value if is_array else [value]
    if not 1 <= len(items) <= MAX_READINGS:
        detail = f"an array of {len(items)} readings was sent: 1 to {MAX_READINGS} are allowed"
        return Refusal(reason=RefusalReason.INVALID_READING, detail=detail)
    return check_size(payload, len(items)) or DecodedPayload(items, is_array, suspect)


def check_size(payload: bytes, readings: int) -> Refusal | None:
    """Refuse a payload that is too large for its number of readings; None if it is not."""
    if len(payload) <= max(MAX_BYTES, readings * MAX_BYTES_PER_READING):
        return None
    return _too_large(payload)


def parse_json(payload: bytes) -> tuple[Any, bool] | Refusal:
    """Parse JSON with exact integers; the second value is `suspect`, as in DecodedPayload.

    NaN, Infinity and 1e999 are let through, so that they cost one reading of an array and not all of them.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _parse_tolerantly(payload)
    # orjson silently turns an integer beyond 64 bits into a float; those have 19 digits or more.
    if _LONG_NUMBER in payload.translate(_DIGITS_TO_ZERO):
        return _parse_tolerantly(payload)
    return value, b"\\" in payload


def _parse_tolerantly(payload: bytes) -> tuple[Any, bool] | Refusal:
    try:
        return json.loads(payload.decode(), parse_int=_integer), True
    except RecursionError:
        detail = "is nested too deeply"
    except json.JSONDecodeError as error:
        detail = (
            f"is not JSON: {error.msg}, line {error.lineno} column {error.colno}" if payload else "is empty"
        )
    except UnicodeDecodeError as error:
        detail = f"is not UTF-8: {error.reason} at byte {error.start}"
    return Refusal(reason=RefusalReason.NOT_JSON, detail=f"the message {detail}")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.copysign(math.inf, float(digits))


def _too_large(payload: bytes) -> Refusal:
    limit = f"{MAX_BYTES} bytes, or {MAX_BYTES_PER_READING} for each reading of an array"
    detail = f"the message has {len(payload)} bytes: the limit is {limit}"
    return Refusal(reason=RefusalReason.TOO_LARGE, detail=detail)
