"""Pure: one JSON value to a trusted reading, or the reason why not: types, units, ranges, clocks."""

import json
import math
import re
import sys
from collections.abc import Mapping
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any, NamedTuple

from telemetry.model import JsonObject, Reading, RefusalReason, Refused

MAX_AHEAD = timedelta(minutes=5)
MAX_COUNTER = 2**53 - 1
"""The greatest integer that every JSON library keeps exactly."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:)(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_MAX_DEPTH = 32
_SHOWN = 60
_TIME_NEEDED = "a time from 1970 on with its offset is needed, such as 2026-11-21T03:45:00Z"
_MOST = sys.float_info.max
_NUMBER, _INTEGER, _BOOL = (float, int), (int,), (bool,)


class Field(NamedTuple):
    """What a known field may be; `types` is compared exactly, because to Python a bool is an int."""

    position: int
    types: tuple[type, ...]
    low: float
    high: float
    needed: str


def _field(name: str, types: tuple[type, ...], low: float, high: float, needed: str) -> tuple[str, Field]:
    return name, Field(Reading._fields.index(name), types, low, high, needed)


FIELDS: Mapping[str, Field] = dict(
    [
        _field("temperature_c", _NUMBER, -_MOST, _MOST, "a number of °C"),
        _field("probe_ok", _BOOL, 0, 1, "true or false"),
        _field("seq", _INTEGER, 0, MAX_COUNTER, "an integer from 0 to 2^53-1"),
        _field("boot", _INTEGER, 0, MAX_COUNTER, "an integer from 0 to 2^53-1"),
        _field("lat", _NUMBER, -90, 90, "a number of degrees from -90 to 90"),
        _field("lon", _NUMBER, -180, 180, "a number of degrees from -180 to 180"),
        _field("accuracy_m", _NUMBER, 0, _MOST, "a number of metres from 0 on"),
        _field("ambient_c", _NUMBER, -_MOST, _MOST, "a number of °C"),
        _field("battery_pct", _NUMBER, 0, 100, "a number from 0 to 100"),
        _field("tilt_deg", _NUMBER, 0, 180, "a number of degrees from 0 to 180"),
        _field("shock_g", _NUMBER, 0, _MOST, "a number of g from 0 on"),
        _field("lid_open", _BOOL, 0, 1, "true or false"),
        _field("ln2_kg", _NUMBER, 0, _MOST, "a number of kg from 0 on"),
        _field("pressure_hpa", _NUMBER, sys.float_info.min, _MOST, "a number of hPa above 0"),
        _field("humidity_pct", _NUMBER, 0, 100, "a number from 0 to 100"),
    ]
)
_JUDGED_APART = frozenset({"device_id", "measured_at", "flight_mode_until"})
_BLANK: tuple[Any, ...] = tuple(Reading._field_defaults.get(name) for name in Reading._fields[2:])
_MEASURED_AT, _TEMPERATURE, _PROBE_OK, _LAT, _LON, _FLIGHT_MODE, _EXTRA = (
    Reading._fields.index(name)
    for name in ("measured_at", "temperature_c", "probe_ok", "lat", "lon", "flight_mode_until", "extra")
)


class _Problem(NamedTuple):
    detail: str
    reason: RefusalReason = RefusalReason.INVALID_READING


def validate(raw: Any, *, device_id: str, received_at: datetime, suspect: bool) -> Reading | Refused:
    """Judge one reading of a device, `suspect` as in Decoded; null in a known field means that it is absent."""
    if type(raw) is not dict:
        return _refused(device_id, {}, _Problem(f"a reading is an object, not {shown(raw)}"))
    values = [device_id, None, *_BLANK]
    problem = (
        _of_another_device(raw, device_id)
        or _fill_measured_at(values, raw, received_at)
        or _fill_fields(values, raw, suspect=suspect)
        or _judge_together(values, raw)
    )
    return Reading._make(values) if problem is None else _refused(device_id, raw, problem)


def _of_another_device(raw: JsonObject, device_id: str) -> _Problem | None:
    named = raw.get("device_id")
    if named is None or named == device_id:
        return None
    detail = f"device_id is {shown(named)}, but the message came from {device_id}"
    return _Problem(detail, RefusalReason.DEVICE_MISMATCH)


def _fill_measured_at(values: list[Any], raw: JsonObject, received_at: datetime) -> _Problem | None:
    sent = raw.get("measured_at")
    values[_MEASURED_AT] = measured_at = instant(sent)
    if isinstance(measured_at, str):
        return _Problem(f"measured_at {measured_at}, or milliseconds since 1970")
    ahead = measured_at - received_at
    if ahead > MAX_AHEAD:
        return _Problem(f"measured_at is {shown(sent)}, {ahead} after its receipt", RefusalReason.CLOCK_AHEAD)
    return None


def _fill_fields(values: list[Any], raw: JsonObject, *, suspect: bool) -> _Problem | None:
    extra: dict[str, Any] = {}
    for name, value in raw.items():
        field = FIELDS.get(name)
        if field is None:
            if name not in _JUDGED_APART:
                extra[name] = value
        elif type(value) in field.types and field.low <= value <= field.high:
            values[field.position] = value
        elif value is not None:
            return _Problem(_wrong(name, value, field))
    if not extra:
        return None
    values[_EXTRA] = extra
    why = unstorable(extra, suspect=suspect)
    return None if why is None else _Problem(why)


def _judge_together(values: list[Any], raw: JsonObject) -> _Problem | None:
    """Judge what depends on more than one field, and fill in `flight_mode_until`."""
    if values[_TEMPERATURE] is None and values[_PROBE_OK]:
        return _Problem("temperature_c is missing: a number of °C is needed unless probe_ok is false")
    if (values[_LAT] is None) != (values[_LON] is None):
        return _Problem("lat and lon come together: one of them is missing")
    sent = raw.get("flight_mode_until")
    if sent is not None:
        values[_FLIGHT_MODE] = until = instant(sent) if isinstance(sent, str) else _no_time(sent)
        if isinstance(until, str):
            return _Problem(f"flight_mode_until {until}")
        if until.year == MAXYEAR:  # whose end the database driver takes for infinity
            return _Problem(f"flight_mode_until is {shown(sent)}: a time in our days is needed")
    return None


def instant(value: Any) -> datetime | str:
    """Give the UTC time that RFC 3339 text or integer epoch milliseconds mean, cut to µs, or what is wrong with it.

    What lies beyond the year 9999 is given as the end of that year. A leap second is the last µs of its minute.
    """
    if type(value) is str:
        return _from_text(value)
    if type(value) is int and value >= 0:
        if value > LAST_MILLISECOND:
            return datetime.max.replace(tzinfo=UTC)
        seconds, milliseconds = divmod(value, 1000)
        return _EPOCH + timedelta(0, seconds, milliseconds * 1000)
    return _no_time(value)


def _from_text(text: str) -> datetime | str:
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return _no_time(text)
    leap = match[2] == "60"
    try:
        time = datetime.fromisoformat((f"{match[1]}59.999999{match[3]}" if leap else text).upper())
        if time.tzinfo is not UTC:
            time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        return _no_time(text)
    if time < _EPOCH or (leap and (time.hour, time.minute) != (23, 59)):
        return _no_time(text)
    return time


def _no_time(value: Any) -> str:
    if value is None:
        return f"is missing: {_TIME_NEEDED}"
    return f"is {shown(value)}: {_TIME_NEEDED}"


def unstorable(value: Any, *, suspect: bool, depth: int = 0) -> str | None:
    """Say why a JSON object cannot be kept as it is; what is not suspect can only be nested too deeply."""
    if isinstance(value, dict | list):
        if depth > _MAX_DEPTH:
            return f"fields that we do not know are nested more than {_MAX_DEPTH} deep"
        members = [*value, *value.values()] if isinstance(value, dict) else value
        inner = (unstorable(member, suspect=suspect, depth=depth + 1) for member in members)
        return next((problem for problem in inner if problem), None)
    if not suspect:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return f"a field that we do not know is not a finite number: {shown(value)}"
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        return f"a text contains U+0000 or half a surrogate pair, which cannot be stored: {shown(value)}"
    return None


def shown(value: Any) -> str:
    """Print a JSON value as sent, short and in plain characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _wrong(name: str, value: Any, field: Field) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} is not a finite number: {shown(value)} was sent, {field.needed} is needed"
    without_quotes = ", without quotes" if isinstance(value, str) else ""
    return f"{name} is {shown(value)}: {field.needed}{without_quotes} is needed"


def _refused(device_id: str, raw: JsonObject, problem: _Problem) -> Refused:
    boot, seq = raw.get("boot"), raw.get("seq")
    return Refused(
        reason=problem.reason,
        detail=problem.detail,
        device_id=device_id,
        boot=boot if _is_counter(boot) else None,
        seq=seq if _is_counter(seq) else None,
    )


def _is_counter(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNTER
