"""Pure: parse topics and payloads into JSON values, or say why they are refused."""

import codecs
import json
import math
import zlib
from typing import Any, NamedTuple

import orjson

from telemetry.model import Refusal, RefusalReason

TOPIC_PREFIX = "dewar/v1/"
MAX_READINGS = 1000
MAX_BYTES = 64 * 1024
MAX_BYTES_PER_READING = 1024
MAX_PARSED_BYTES = 1024 * 1024

_GZIP = b"\x1f\x8b"
_GZIP_ONLY = 16 + zlib.MAX_WBITS
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
    """Decode a payload of 1 to 1000 readings; above 64 KiB it may have 1 KiB for each reading.

    What is packed with gzip is measured as it is unpacked.
    """
    if len(payload) > MAX_PARSED_BYTES:
        return _too_large(len(payload))
    text = payload
    try:
        parsed = _exactly(orjson.loads(payload), payload)
    except orjson.JSONDecodeError:
        unwrapped = unwrap(payload)
        if isinstance(unwrapped, Refusal):
            return unwrapped
        text, parsed = unwrapped, _parse(unwrapped)
    if isinstance(parsed, Refusal):
        return _too_large(len(text)) if len(text) > MAX_BYTES else parsed
    value, suspect = parsed
    is_array = isinstance(value, list)
    items = value if is_array else [value]
    if not 1 <= len(items) <= MAX_READINGS:
        detail = f"an array of {len(items)} readings was sent: 1 to {MAX_READINGS} are allowed"
        return Refusal(reason=RefusalReason.INVALID_READING, detail=detail)
    return check_size(text, len(items)) or DecodedPayload(items, is_array, suspect)


def check_size(text: bytes, readings: int) -> Refusal | None:
    """Refuse a text that is too large for its number of readings; None if it is not."""
    if len(text) <= max(MAX_BYTES, readings * MAX_BYTES_PER_READING):
        return None
    return _too_large(len(text))


def is_packed(payload: bytes) -> bool:
    """Return whether a payload is packed with gzip."""
    return payload.startswith(_GZIP)


def unwrap(payload: bytes) -> bytes | Refusal:
    """Return the text of a payload: unpacked where it is gzip, without a byte order mark and the NULs after its end.

    No more than MAX_PARSED_BYTES are ever unpacked, whatever the payload says of itself.
    """
    if is_packed(payload):
        unpacked = _unpack(payload)
        if isinstance(unpacked, Refusal):
            return unpacked
        payload = unpacked
    return payload.removeprefix(codecs.BOM_UTF8).rstrip(b"\0")


def _unpack(payload: bytes) -> bytes | Refusal:
    unpacker = zlib.decompressobj(wbits=_GZIP_ONLY)
    try:
        unpacked = unpacker.decompress(payload, MAX_PARSED_BYTES + 1)
    except zlib.error:
        return _not_json("is damaged: it begins as gzip, and cannot be unpacked")
    if len(unpacked) > MAX_PARSED_BYTES:
        return _too_large(len(unpacked), "at least, unpacked")
    if not unpacker.eof:
        return _not_json("is cut short: it is gzip, and its end is missing")
    if unpacker.unused_data.strip(b"\0"):  # a second part could be followed by any number of others
        return _not_json("goes on after the end of its gzip: send one part")
    return unpacked


def parse_json(payload: bytes) -> tuple[Any, bool] | Refusal:
    """Parse a payload as JSON with exact integers; the second value is `suspect`, as in DecodedPayload.

    NaN, Infinity and 1e999 are let through, so that they cost one field of a reading and not all readings of an array.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        text = unwrap(payload)
        return text if isinstance(text, Refusal) else _parse(text)
    return _exactly(value, payload)


def _parse(text: bytes) -> tuple[Any, bool] | Refusal:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_tolerantly(text)
    return _exactly(value, text)


def _exactly(value: Any, text: bytes) -> tuple[Any, bool] | Refusal:
    # orjson silently turns an integer beyond 64 bits into a float; those have 19 digits or more.
    if _LONG_NUMBER in text.translate(_DIGITS_TO_ZERO):
        return _parse_tolerantly(text)
    return value, b"\\" in text


def _parse_tolerantly(text: bytes) -> tuple[Any, bool] | Refusal:
    try:
        return json.loads(text.decode(), parse_int=_integer), True
    except RecursionError:
        return _not_json("is nested too deeply")
    except json.JSONDecodeError as error:
        return _not_json(
            f"is not JSON: {error.msg}, line {error.lineno} column {error.colno}" if text else "is empty"
        )
    except UnicodeDecodeError as error:
        return _not_json(f"is not UTF-8: {error.reason} at byte {error.start}")


def _not_json(what: str) -> Refusal:
    return Refusal(reason=RefusalReason.NOT_JSON, detail=f"the message {what}")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.copysign(math.inf, float(digits))


def _too_large(size: int, unpacked: str = "") -> Refusal:
    limit = f"{MAX_BYTES} bytes, or {MAX_BYTES_PER_READING} for each reading of an array"
    has = f"{size} bytes {unpacked}".strip()
    return Refusal(reason=RefusalReason.TOO_LARGE, detail=f"the message has {has}: the limit is {limit}")
