"""Pure: topics and payloads to JSON values, or the reason why not."""

import json
import math
from typing import Any, NamedTuple

import orjson

from telemetry.model import RefusalReason, Refused

TOPICS = "dewar/v1/"
MAX_READINGS = 1000
MAX_BYTES = 64 * 1024
MAX_BYTES_PER_READING = 1024
MAX_PARSED_BYTES = 1024 * 1024

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_LONGEST_INTEGER = 300
"""Digits; longer ones are beyond a float and count as infinite, before converting them costs quadratic time."""


class Decoded(NamedTuple):
    """The readings of a payload, not looked at yet."""

    items: list[Any]
    is_array: bool
    suspect: bool
    """Whether a value may be infinite or no number, or a text hold an escaped character that cannot be stored."""


def address(topic: str) -> tuple[str, str]:
    """Give the device id as it stands in the topic of a logger, and the last word, `readings` or `status`."""
    device, _, kind = topic.rpartition("/")
    return device.removeprefix(TOPICS), kind


def decode(payload: bytes) -> Decoded | Refused:
    """Take a payload apart into 1 to 1000 readings, of 1 KiB each where it has more than 64 KiB."""
    if len(payload) > MAX_PARSED_BYTES:
        return _too_large(payload)
    parsed = parse(payload)
    if isinstance(parsed, Refused):
        return _too_large(payload) if len(payload) > MAX_BYTES else parsed
    value, suspect = parsed
    is_array = isinstance(value, list)
    items = value if is_array else [value]
    if not 1 <= len(items) <= MAX_READINGS:
        detail = f"an array of {len(items)} readings: an array of 1 to {MAX_READINGS} is needed"
        return Refused(reason=RefusalReason.INVALID_READING, detail=detail)
    return oversized(payload, len(items)) or Decoded(items, is_array, suspect)


def oversized(payload: bytes, readings: int) -> Refused | None:
    """Refuse a payload of more bytes than that many readings may have."""
    if len(payload) <= max(MAX_BYTES, readings * MAX_BYTES_PER_READING):
        return None
    return _too_large(payload)


def parse(payload: bytes) -> tuple[Any, bool] | Refused:
    """Parse JSON, integers exactly; the second value tells whether it is suspect, as in Decoded.

    NaN, Infinity and 1e999 are let through, so that in an array they cost one reading and not all.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _parse_tolerantly(payload)
    # orjson makes a float of an integer beyond 64 bits without a word, and those have 19 digits or more.
    if _LONG_NUMBER in payload.translate(_DIGITS_TO_ZERO):
        return _parse_tolerantly(payload)
    return value, b"\\" in payload


def _parse_tolerantly(payload: bytes) -> tuple[Any, bool] | Refused:
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
    return Refused(reason=RefusalReason.NOT_JSON, detail=f"the message {detail}")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.copysign(math.inf, float(digits))


def _too_large(payload: bytes) -> Refused:
    limits = f"{MAX_BYTES} bytes, or {MAX_BYTES_PER_READING} for each reading of an array, are the most"
    return Refused(reason=RefusalReason.TOO_LARGE, detail=f"the message has {len(payload)} bytes: {limits}")
