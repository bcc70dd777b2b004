"""Pure: unknown fields that speak of a known one: its other spellings, its unit, its scale, whether it can be believed.

Such a field is never ignored. Where it can be understood in one way only, it is: `latitude` is `lat`. Where it makes
`temperature_c` or `measured_at` mean something else, the reading is refused; where it does so to a field beside these, that
one is set aside. All other unknown fields are kept as sent and change nothing.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from telemetry.ingest.fields.set_aside import SHOWN, printable, show_value
from telemetry.model import JsonObject, Reading

_KNOWN: Final = [name for name in Reading._fields if name not in {"device_id", "extra", "set_aside"}]
NAMES: Final = frozenset({*_KNOWN, "device_id"})
"""What a reading consists of, whatever else is in it."""
_DECISIVE: Final = frozenset({"measured_at", "temperature_c", "probe_ok"})
"""The fields that a reading is nothing without."""

_CELSIUS: Final = frozenset(
    {"c", "°c", "℃", "degc", "deg c", "deg_c", "cel", "celsius", "centigrade", "degree celsius"}
    | {"degrees celsius", "metric"}
)
_NOT_CELSIUS: Final = frozenset(
    {
        "f",
        "°f",
        "℉",
        "degf",
        "deg f",
        "deg_f",
        "fahrenheit",
        "degree fahrenheit",
        "degrees fahrenheit",
        "imperial",
    }
    | {"k", "°k", "kel", "kelvin", "r", "rankine"}
)
_PERCENT: Final = frozenset({"%", "pct", "percent", "% rh", "%rh", "rh%"})
_DEGREES: Final = frozenset({"°", "deg", "degree", "degrees"})


class _Unit(NamedTuple):
    """The unit that a field has."""

    name: str
    words: frozenset[str]
    """What it is called where a logger names it, in small letters."""


_UNITS: Final[Mapping[str, _Unit]] = {
    "measured_at": _Unit("milliseconds", frozenset({"ms", "msec", "millis", "millisecond", "milliseconds"})),
    "temperature_c": _Unit("°C", _CELSIUS),
    "ambient_c": _Unit("°C", _CELSIUS),
    "lat": _Unit("degrees", _DEGREES | {"wgs84", "wgs 84"}),
    "lon": _Unit("degrees", _DEGREES | {"wgs84", "wgs 84"}),
    "accuracy_m": _Unit("m", frozenset({"m", "metre", "metres", "meter", "meters", "metric"})),
    "battery_pct": _Unit("%", _PERCENT),
    "tilt_deg": _Unit("degrees", _DEGREES),
    "shock_g": _Unit("g", frozenset({"g"})),
    "ln2_kg": _Unit("kg", frozenset({"kg", "kilogram", "kilograms", "metric"})),
    "pressure_hpa": _Unit("hPa", frozenset({"hpa", "mbar", "millibar", "hectopascal", "hectopascals"})),
    "humidity_pct": _Unit("%", _PERCENT),
}
_SUBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "measured_at": ("measuredat", "timestamp", "time", "epoch"),
    "temperature_c": (
        "temperaturec",
        "temperature",
        "temp",
        "tempc",
        "t",
        "probe",
        "probetemperature",
        "probetemp",
    ),
    "ambient_c": ("ambientc", "ambient", "ambienttemperature", "ambienttemp"),
    "lat": ("lat", "latitude", "coordinate", "coordinates", "position", "location", "latlon"),
    "lon": ("lon", "lng", "longitude"),
    "accuracy_m": ("accuracym", "accuracy"),
    "battery_pct": ("batterypct", "battery"),
    "tilt_deg": ("tiltdeg", "tilt"),
    "shock_g": ("shockg", "shock", "acceleration"),
    "ln2_kg": ("ln2kg", "ln2"),
    "pressure_hpa": ("pressurehpa", "pressure"),
    "humidity_pct": ("humiditypct", "humidity", "rh"),
}
"""What a field is called in the names of others; small letters and digits only."""
_SAME: Final[Mapping[str, str]] = {
    **{re.sub("[^a-z0-9]", "", name): name for name in _KNOWN},
    **dict.fromkeys(("latitude", "gpslat", "gpslatitude"), "lat"),
    **dict.fromkeys(("longitude", "lng", "long", "gpslon", "gpslng", "gpslongitude"), "lon"),
    **dict.fromkeys(("tempc", "temperaturecelsius", "tempcelsius", "temperaturedegc"), "temperature_c"),
    "humiditypercent": "humidity_pct",
    "batterypercent": "battery_pct",
}
"""Other names of the known fields, in the same unit."""
_FAHRENHEIT: Final = ("temperaturef", "tempf", "temperaturefahrenheit", "tempfahrenheit", "fahrenheit")
_KELVIN: Final = ("temperaturek", "tempk", "temperaturekelvin", "tempkelvin", "kelvin")
_ROUNDED_C: Final = 0.6
"""Loggers round: 1 °F is 0.56 °C."""
_SCALES: Final[Mapping[str, float]] = {
    **dict.fromkeys(("scale", "scaling", "factor", "multiplier", "divisor", "gain"), 1),
    **dict.fromkeys(("exponent", "offset", "correction"), 0),
}
"""Words for what a value is still to be reckoned with, and the number that leaves it as it is."""
_BARE_SCALES: Final = ("scale", "multiplier", "divisor", "exponent")
"""Those that are of the temperature where they stand alone: loggers have gains and offsets of other things."""
_PROBES: Final = (
    "probe",
    "sensor",
    "temperature",
    "temp",
    "temperaturesensor",
    "tempsensor",
    "thermocouple",
    "rtd",
)
_GOOD: Final = ("ok", "valid", "good", "healthy", "connected", "present")
_BAD: Final = (
    "fault",
    "faulty",
    "error",
    "failed",
    "failure",
    "broken",
    "invalid",
    "disconnected",
    "open",
    "missing",
)
_NO: Final = frozenset({"false", "no", "n", "off", "0"})
_YES: Final = frozenset({"true", "yes", "y", "on", "1"})


class _Other(NamedTuple):
    """What an unknown field says of a known one."""

    kind: str
    """`same`, `unit`, `fahrenheit`, `kelvin`, `scale`, `good` or `bad`."""
    of: str
    """The known field; `*` where the unit of all is given."""
    neutral: float = 0
    """For `scale`: what changes nothing."""


class Meant(NamedTuple):
    """A reading in the names of the known fields."""

    raw: JsonObject
    problem: str | None = None
    """Why it cannot be judged, if so."""
    spoiled: Mapping[str, str] = {}
    """The fields that do not mean what they seem to, with the reason for each."""


def understand(raw: JsonObject) -> Meant:
    """Return a reading with what its unknown fields say of the known ones."""
    others = [(name, other) for name in raw if (other := _other(name)) is not None]
    if not others:
        return Meant(raw)
    meant, spoiled = dict(raw), dict[str, str]()
    problems = [_apply(name, other, meant, spoiled) for name, other in sorted(others, key=_same_first)]
    return Meant(meant, next(filter(None, problems), None), spoiled)


def says_no(value: Any) -> bool:
    """Return whether a value that is not a bool says `false` all the same."""
    return value == 0 if isinstance(value, int | float) else isinstance(value, str) and _word(value) in _NO


def _says_yes(value: Any) -> bool:
    return value == 1 if isinstance(value, int | float) else isinstance(value, str) and _word(value) in _YES


def _word(text: str) -> str:
    return text[:SHOWN].strip().lower()


def _same_first(named: tuple[str, _Other]) -> bool:
    return named[1].kind != "same"


def _other(name: str) -> _Other | None:
    return None if name in NAMES or len(name) > SHOWN else _look_up(name)


@lru_cache(maxsize=4096)
def _look_up(name: str) -> _Other | None:
    return _TABLE.get(_letters(name))


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _table() -> Mapping[str, _Other]:
    found: dict[str, _Other] = {}
    for field, subjects in _SUBJECTS.items():
        for subject in subjects:
            found |= {f"{subject}{word}": _Other("unit", field) for word in ("unit", "units", "uom")}
            found |= {f"{word}{subject}": _Other("unit", field) for word in ("unit", "units", "unitof")}
    for subject in _SUBJECTS["temperature_c"]:
        for word, neutral in _SCALES.items():
            found[f"{subject}{word}"] = _Other("scale", "temperature_c", neutral)
    found |= {word: _Other("scale", "temperature_c", _SCALES[word]) for word in _BARE_SCALES}
    every = ("unit", "units", "uom", "unitofmeasure", "unitofmeasurement")
    found |= dict.fromkeys(every, _Other("unit", "*"))
    found |= dict.fromkeys(_FAHRENHEIT, _Other("fahrenheit", "temperature_c"))
    found |= dict.fromkeys(_KELVIN, _Other("kelvin", "temperature_c"))
    for probe in _PROBES:
        found |= {f"{probe}{word}": _Other("good", "probe_ok") for word in _GOOD}
        found |= {f"{probe}{word}": _Other("bad", "probe_ok") for word in _BAD}
    return found | {name: _Other("same", field) for name, field in _SAME.items()}


_TABLE: Final = _table()


def _apply(name: str, other: _Other, meant: dict[str, Any], spoiled: dict[str, str]) -> str | None:
    """Take in what a field says; return why the reading cannot be judged, if so."""
    value = meant[name]
    match other.kind:
        case "same":
            return _take_name(name, other.of, meant, spoiled)
        case "unit":
            return _check_units(name, other.of, meant, spoiled)
        case "scale":
            return _check_scale(name, other, value)
        case "good" | "bad":
            if (says_no if other.kind == "good" else _says_yes)(value):
                meant["probe_ok"] = False
            return None
        case _:
            return _check_temperature(name, other.kind, value, meant)


def _take_name(name: str, field: str, meant: dict[str, Any], spoiled: dict[str, str]) -> str | None:
    value, known = meant[name], meant.get(field)
    if known is None or value is None:
        del meant[name]
        meant[field] = value if known is None else known
        return None
    if known == value and isinstance(known, bool) == isinstance(value, bool):
        del meant[name]
        return None
    says = f"{printable(name)} is {show_value(value)}, and {field} is {show_value(known)}: send one of them"
    return _spoil(field, says, spoiled)


def _spoil(field: str, says: str, spoiled: dict[str, str]) -> str | None:
    if field in _DECISIVE:
        return says
    spoiled[field] = says
    return None


def _check_units(name: str, field: str, meant: JsonObject, spoiled: dict[str, str]) -> str | None:
    """Check the unit of one field; or of those that an object names."""
    value = meant[name]
    if field != "*" or not isinstance(value, dict):
        return _check_unit(name, "temperature_c" if field == "*" else field, value, meant, spoiled)
    problems = [
        _check_unit(f"{name}.{key}", of, unit, meant, spoiled)
        for key, unit in value.items()
        if (of := _subject(key[:SHOWN])) is not None
    ]
    return next(filter(None, problems), None)


def _subject(key: str) -> str | None:
    letters = _letters(key)
    return next((field for field, subjects in _SUBJECTS.items() if letters in subjects), None)


def _check_unit(name: str, field: str, value: Any, meant: JsonObject, spoiled: dict[str, str]) -> str | None:
    of = meant.get(field)
    if value is None or value == "" or of is None or (field == "measured_at" and isinstance(of, str)):
        return None
    if isinstance(value, str) and _word(value) in _UNITS[field].words:
        return None
    says = f"{printable(name)} is {show_value(value)}, and {field} is read in {_UNITS[field].name} only"
    return _spoil(field, says, spoiled)


def _check_scale(name: str, other: _Other, value: Any) -> str | None:
    if isinstance(value, str):
        if _word(value) not in _NOT_CELSIUS:
            return None
        return f"{printable(name)} is {show_value(value)}, and temperature_c is read in °C only"
    if value is None or isinstance(value, bool | dict | list) or value == other.neutral:
        return None
    return f"{printable(name)} is {show_value(value)}, and temperature_c is read as it is: send it ready reckoned"


def _check_temperature(name: str, kind: str, value: Any, meant: JsonObject) -> str | None:
    """Check a temperature in another unit, or a word that it is in one, against that in °C, which alone is read."""
    celsius, says = meant.get("temperature_c"), f"{printable(name)} is {show_value(value)}"
    if value is True:
        return f"{says}, and temperature_c is read in °C only"
    if isinstance(value, bool | str | dict | list | None) or not math.isfinite(value):
        return None
    if celsius is None:
        is_broken = meant.get("probe_ok") is False
        return None if is_broken else f"{says}, and is not read: send temperature_c, in °C"
    if isinstance(celsius, bool | str | dict | list):
        return None  # and is refused for that
    also = (value - 32) / 1.8 if kind == "fahrenheit" else value - 273.15
    if not math.isfinite(celsius) or math.isclose(also, celsius, rel_tol=0.01, abs_tol=_ROUNDED_C):
        return None
    return f"{says}, and temperature_c is {show_value(celsius)}: one of them is wrong, so send temperature_c alone"
