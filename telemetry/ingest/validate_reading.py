"""Pure: validate one JSON value as a reading, with what of it is set aside, or say why it is refused: types, ranges, clocks."""

import math
import re
import sys
from collections.abc import Mapping
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any, NamedTuple

from telemetry.ingest.fields.meanings import says_no, understand
from telemetry.ingest.fields.set_aside import MAX_COUNTER, is_storable, put, show_value
from telemetry.model import JsonObject, Reading, Refusal, RefusalReason

MAX_AHEAD = timedelta(minutes=5)
_FAR = timedelta(days=366)
"""Further ahead than this, the length says nothing to anybody."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:)(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d(?::?\d\d)?)", re.ASCII | re.IGNORECASE
)
_MAX_DEPTH = 32
_TIME_NEEDED = "send a time from 1970 on with its offset, such as 2026-11-21T03:45:00Z"
_NOT_FINITE = "it is not a finite number"
_TOGETHER = "lat and lon count only together"
_SWAPPED = f"{_TOGETHER}; are they swapped?"
_MOST = sys.float_info.max
_NUMBER, _INTEGER, _BOOL = (float, int), (int,), (bool,)


class FieldSpec(NamedTuple):
    """The types and the range of a known field; types are compared exactly, because a bool is an int in Python."""

    position: int
    types: tuple[type, ...]
    low: float
    high: float
    expected: str
    """The valid values, in words."""


def _field(
    name: str, types: tuple[type, ...], low: float, high: float, expected: str
) -> tuple[str, FieldSpec]:
    return name, FieldSpec(Reading._fields.index(name), types, low, high, expected)


FIELDS: Mapping[str, FieldSpec] = dict(
    [
        _field("temperature_c", _NUMBER, -_MOST, _MOST, "a number of °C"),
        _field("probe_ok", _BOOL, 0, 1, "true or false"),
        _field("seq", _INTEGER, 0, MAX_COUNTER, "an integer from 0 to 2^53-1"),
        _field("boot", _INTEGER, 0, MAX_COUNTER, "an integer from 0 to 2^53-1"),
        _field("lat", _NUMBER, -90, 90, "a number of degrees from -90 to 90"),
        _field("lon", _NUMBER, -180, 180, "a number of degrees from -180 to 180"),
        _field("accuracy_m", _NUMBER, 0, _MOST, "a number of metres, 0 or more"),
        _field("ambient_c", _NUMBER, -_MOST, _MOST, "a number of °C"),
        _field("battery_pct", _NUMBER, 0, 100, "a number from 0 to 100"),
        _field("tilt_deg", _NUMBER, 0, 180, "a number of degrees from 0 to 180"),
        _field("shock_g", _NUMBER, 0, _MOST, "a number of g, 0 or more"),
        _field("lid_open", _BOOL, 0, 1, "true or false"),
        _field("ln2_kg", _NUMBER, 0, _MOST, "a number of kg, 0 or more"),
        _field("pressure_hpa", _NUMBER, sys.float_info.min, _MOST, "a number of hPa above 0"),
        _field("humidity_pct", _NUMBER, 0, 100, "a number from 0 to 100"),
    ]
)
_SPECIAL_FIELDS = frozenset({"device_id", "measured_at", "flight_mode_until"})
_BLANK: tuple[Any, ...] = tuple(Reading._field_defaults.get(name) for name in Reading._fields[2:])
_MEASURED_AT, _TEMPERATURE, _PROBE_OK, _LAT, _LON, _FLIGHT_MODE, _EXTRA, _SET_ASIDE = (
    Reading._fields.index(name)
    for name in (
        *("measured_at", "temperature_c", "probe_ok", "lat", "lon", "flight_mode_until"),
        *("extra", "set_aside"),
    )
)


_UNSPOILED: Mapping[str, str] = {}


class _Problem(NamedTuple):
    detail: str
    reason: RefusalReason = RefusalReason.INVALID_READING


def validate_reading(
    raw: Any, *, device_id: str, received_at: datetime | None, suspect: bool
) -> Reading | Refusal:
    """Validate one reading of a device; null in a known field means absent. `suspect` is as in DecodedPayload.

    It is refused only for its time and its temperature. A field beside these that cannot count is set aside, with its
    reason, and the rest counts. A temperature that is null or not finite is a broken probe.

    Where `received_at` is None, no time is too far ahead: our own clock is not sure.
    """
    if type(raw) is not dict:
        return _refuse(device_id, {}, _Problem(f"a reading must be an object, not {show_value(raw)}"))
    values = [device_id, None, *_BLANK]
    problem = (
        _check_device(raw, device_id)
        or _fill_measured_at(values, raw, received_at)
        or _fill_fields(values, raw, _UNSPOILED, suspect=suspect)
    )
    if problem is None and values[_EXTRA] is None and values[_SET_ASIDE] is None:
        return Reading._make(values)
    meant = understand(raw)
    if meant.raw is not raw:
        raw, values = meant.raw, [device_id, None, *_BLANK]
        problem = (
            _check_device(raw, device_id)
            or _fill_measured_at(values, raw, received_at)
            or (None if meant.problem is None else _Problem(meant.problem))
            or _fill_fields(values, raw, meant.spoiled, suspect=suspect)
        )
    return Reading._make(values) if problem is None else _refuse(device_id, raw, problem)


def _check_device(raw: JsonObject, device_id: str) -> _Problem | None:
    named = raw.get("device_id")
    if named is None or named == device_id:
        return None
    detail = f"device_id is {show_value(named)}, but the message came from {device_id}"
    return _Problem(detail, RefusalReason.DEVICE_MISMATCH)


def _fill_measured_at(values: list[Any], raw: JsonObject, received_at: datetime | None) -> _Problem | None:
    sent = raw.get("measured_at")
    values[_MEASURED_AT] = measured_at = parse_instant(sent)
    if isinstance(measured_at, str):
        return _Problem(f"measured_at {measured_at}, or milliseconds since 1970")
    if received_at is None:
        return None
    ahead = measured_at - received_at
    if ahead > MAX_AHEAD:
        after = "far in the future" if ahead > _FAR else f"{ahead} after the message was received"
        detail = f"measured_at is {show_value(sent)}, {after}"
        return _Problem(detail, RefusalReason.CLOCK_AHEAD)
    return None


def _fill_fields(
    values: list[Any], raw: JsonObject, spoiled: Mapping[str, str], *, suspect: bool
) -> _Problem | None:
    extra: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for name, value in raw.items():
        field = FIELDS.get(name)
        if field is None:
            if name not in _SPECIAL_FIELDS:
                extra[name] = value
        elif type(value) in field.types and field.low <= value <= field.high:
            values[field.position] = value
        elif value is not None:
            wrong[name] = value
    is_plain = not wrong and not extra and values[_TEMPERATURE] is not None and not spoiled
    if is_plain and (values[_LAT] is None) == (values[_LON] is None) and "flight_mode_until" not in raw:
        return None
    aside: dict[str, Any] = {}
    problem = _set_aside(values, raw, wrong, spoiled, aside)
    if extra:
        values[_EXTRA] = _keep_unknown(extra, aside, suspect=suspect)
    if aside:
        values[_SET_ASIDE] = aside
    return problem


def _set_aside(
    values: list[Any],
    raw: JsonObject,
    wrong: dict[str, Any],
    spoiled: Mapping[str, str],
    aside: dict[str, Any],
) -> _Problem | None:
    """Set aside the known fields that cannot count, or return why the reading cannot, and fill in what needs more than a look."""
    if wrong or values[_TEMPERATURE] is None:
        problem = _judge_probe(values, raw, wrong, aside)
        if problem is not None:
            return problem
        for name, value in wrong.items():
            put(aside, name, value, _expected(value, FIELDS[name]))
    if raw.get("flight_mode_until") is not None:
        _fill_flight_mode(values, raw["flight_mode_until"], aside)
    for name, reason in spoiled.items():
        _take_back(values, name, raw, aside, reason)
    if (values[_LAT] is None) != (values[_LON] is None):
        _set_position_aside(values, raw, aside)
    if "boot" in aside:
        _take_back(values, "seq", raw, aside, "it counts since a boot, and that cannot be read")
    return None


def _judge_probe(
    values: list[Any], raw: JsonObject, wrong: dict[str, Any], aside: dict[str, Any]
) -> _Problem | None:
    """Judge what is sent of the probe: a temperature that is none is a broken probe, one of a wrong type is refused."""
    if "probe_ok" in wrong and says_no(wrong["probe_ok"]):
        values[_PROBE_OK] = False
    if values[_TEMPERATURE] is not None:
        return None
    if "temperature_c" in wrong:
        sent = wrong["temperature_c"]
        if type(sent) is float:
            put(aside, "temperature_c", sent, f"{_NOT_FINITE}: it counts as a broken probe")
            del wrong["temperature_c"]
        elif values[_PROBE_OK]:
            return _Problem(_explain("temperature_c", sent, FIELDS["temperature_c"]))
    elif "temperature_c" not in raw and values[_PROBE_OK]:
        return _Problem("temperature_c is missing: a number of °C is required unless probe_ok is false")
    values[_PROBE_OK] = False
    return None


def _fill_flight_mode(values: list[Any], sent: Any, aside: dict[str, Any]) -> None:
    until = parse_instant(sent) if isinstance(sent, str) else _not_a_time(sent)
    if isinstance(until, str):
        put(aside, "flight_mode_until", sent, _TIME_NEEDED)
    elif until.year == MAXYEAR:  # the database driver takes the end of that year for infinity
        put(aside, "flight_mode_until", sent, "send a realistic time")
    else:
        values[_FLIGHT_MODE] = until


def _set_position_aside(values: list[Any], raw: JsonObject, aside: dict[str, Any]) -> None:
    """Set aside half a position."""
    lat, lon = raw.get("lat"), raw.get("lon")
    look_swapped = (
        isinstance(lat, int | float)
        and isinstance(lon, int | float)
        and abs(lat) > FIELDS["lat"].high >= abs(lon)
    )
    for name in ("lat", "lon"):
        _take_back(values, name, raw, aside, _SWAPPED if look_swapped else _TOGETHER)


def _take_back(values: list[Any], name: str, raw: JsonObject, aside: dict[str, Any], reason: str) -> None:
    """Set aside a field that is filled in, if it is."""
    position = Reading._fields.index(name)
    if values[position] is not None:
        put(aside, name, raw.get(name), reason)
        values[position] = None


def _keep_unknown(extra: dict[str, Any], aside: dict[str, Any], *, suspect: bool) -> dict[str, Any] | None:
    """Return the unknown fields that can be stored, if any, and set aside the others."""
    if not suspect and not any(isinstance(value, dict | list) for value in extra.values()):
        return extra
    problems = {
        name: problem
        for name, value in extra.items()
        if (problem := _unstorable({name: value}, suspect=suspect)) is not None
    }
    for name, problem in problems.items():
        put(aside, name, extra.pop(name), problem)
    return extra or None


def parse_instant(value: Any) -> datetime | str:
    """Parse RFC 3339 text or integer epoch milliseconds into UTC, truncated to µs, or return what is wrong with it.

    Times beyond the year 9999 become the end of that year. A leap second becomes the last µs of its minute.
    """
    if type(value) is str:
        return _parse_rfc3339(value)
    if type(value) is int and value >= 0:
        if value > LAST_MILLISECOND:
            return datetime.max.replace(tzinfo=UTC)
        seconds, milliseconds = divmod(value, 1000)
        return _EPOCH + timedelta(0, seconds, milliseconds * 1000)
    return _not_a_time(value)


def _parse_rfc3339(text: str) -> datetime | str:
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return _not_a_time(text)
    leap = match[2] == "60"
    try:
        time = datetime.fromisoformat((f"{match[1]}59.999999{match[3]}" if leap else text).upper())
        if time.tzinfo is not UTC:
            time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        return _not_a_time(text)
    if time < _EPOCH or (leap and (time.hour, time.minute) != (23, 59)):
        return _not_a_time(text)
    return time


def _not_a_time(value: Any) -> str:
    if value is None:
        return f"is missing: {_TIME_NEEDED}"
    return f"is {show_value(value)}: {_TIME_NEEDED}"


def _unstorable(value: Any, *, suspect: bool, depth: int = 0) -> str | None:
    """Return why a JSON value cannot be stored; if it is not suspect, only its nesting depth can be wrong."""
    if isinstance(value, dict | list):
        if depth > _MAX_DEPTH:
            return f"it is nested more than {_MAX_DEPTH} levels deep"
        members = [*value, *value.values()] if isinstance(value, dict) else value
        inner = (_unstorable(member, suspect=suspect, depth=depth + 1) for member in members)
        return next((problem for problem in inner if problem), None)
    if not suspect:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE
    if isinstance(value, str) and not is_storable(value):
        return "it has U+0000 or half a surrogate pair, which cannot be stored"
    return None


def _explain(name: str, value: Any, field: FieldSpec) -> str:
    return f"{name} is {show_value(value)}: {_expected(value, field)}"


def _expected(value: Any, field: FieldSpec) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{_NOT_FINITE}: it must be {field.expected}"
    without_quotes = ", without quotes" if isinstance(value, str) else ""
    return f"it must be {field.expected}{without_quotes}"


def _refuse(device_id: str, raw: JsonObject, problem: _Problem) -> Refusal:
    boot, seq = raw.get("boot"), raw.get("seq")
    # A number since an illegible boot would be taken for one of boot 0, and that one acknowledged unseen.
    counts = _is_counter(seq) and (boot is None or _is_counter(boot))
    return Refusal(
        reason=problem.reason,
        detail=problem.detail,
        device_id=device_id,
        boot=boot if _is_counter(boot) else None,
        seq=seq if counts else None,
    )


def _is_counter(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNTER
