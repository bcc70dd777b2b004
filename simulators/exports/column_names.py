"""Pure: what the columns of an export hold, as their names suggest."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

from simulators.exports.cells import parse_unit, unit_in
from simulators.exports.zones import named_zone, parse_zone

_STAMPS = {
    *("date time", "datetime", "timestamp", "time stamp", "date and time", "measured at", "logged at"),
    *("recorded at", "reading time", "sample time", "measurement time", "local time", "utc time", "utc"),
    *("datum uhrzeit", "datum zeit", "zeitstempel", "horodatage", "date heure", "fecha hora", "fecha y hora"),
    *("datum und uhrzeit", "datum und zeit", "zeitpunkt", "messzeit", "messzeitpunkt", "date et heure"),
    *("data ora", "data e ora", "datum tijd", "tijdstip", "log time", "logging time", "record time"),
}
_DATES = {"date", "datum", "fecha", "data", "dato"}
_CLOCKS = {"time", "zeit", "uhrzeit", "hora", "heure", "ora", "tijd"}
_HALVES = {"am pm", "ampm", "a m p m"}
_BESIDE_TIME = {"utc", "gmt", "local", "z", "yyyy", "yy", "mm", "dd", "hh", "ss", "time", "zone", "am", "pm"}
_TEMPERATURES = {"temp", "temps", "temperature", "temperatur", "temperatura", "temperatuur"}
_VALUES = {"value", "reading", "measurement", "messwert", "wert", "valeur", "valor", "valore", "waarde"}
_UNITS = {"unit", "units", "einheit", "einheiten", "unite", "unites", "unidad", "unita", "eenheid"}
_PROBES = {"probe", "sensor", "channel", "ch", "t", "payload", "product", "sample", "neck"}
_NOT_READ = {
    *("humidity", "rh", "dew", "alarm", "limit", "min", "max", "minimum", "maximum", "avg", "average"),
    *("mean", "mkt", "setpoint", "battery", "status", "event", "type", "name", "id", "serial", "delta", "ok"),
    *("dewpt", "dewpoint", "dewp", "taupunkt", "rosee", "rocio", "rugiada", "dauwpunt", "wet", "wetbulb"),
    *("heat", "heatindex", "grenzwert", "sollwert", "consigne", "alarme", "allarme", "alarms", "high", "low"),
    *(
        "feuchte",
        "feuchtigkeit",
        "humidite",
        "humedad",
        "umidita",
        "vochtigheid",
        "hum",
        "mittelwert",
        "mittel",
    ),
    *("durchschnitt", "moyenne", "promedio", "media", "highest", "lowest", "range", "diff", "difference"),
    *(
        "light",
        "lux",
        "intensity",
        "pressure",
        "druck",
        "co",
        "voltage",
        "current",
        "shock",
        "vibration",
        "tilt",
    ),
    *("door", "pres", "unit", "units", "einheit", "unite", "unidad", "unita", "offset", "count", "samples"),
}
_NUMBERED = {
    "no",
    "nr",
    "index",
    "number",
    "num",
    "record",
    "rec",
    "count",
    "id",
    "lat",
    "lon",
    "rssi",
    "signal",
}
_SECOND = {"2", "b", "ii", "second", "secondary", "neck", "vapor", "vapour", "lid"}
_AMBIENT = {"ambient", "internal", "room", "case", "outside", "board", "surroundings", "umgebung", "intern"}
_BATTERY = {"battery", "batterie", "batteria", "bateria", "batt", "akku"}
_PERCENT = {"pct", "percent", "percentage", "prozent"}
_PAYLOAD = {"payload", "product", "sample", "core", "load"}
_FIRST = {"1", "a", "i", "first", "primary", "probe", "external", "ext", "main"}
DEVICE_NAMES = {
    *(
        "device",
        "device id",
        "logger",
        "logger id",
        "serial",
        "serial number",
        "serial no",
        "sn",
        "logger sn",
    ),
    *("logger serial number", "device serial number", "seriennummer", "numero de serie"),
}


class ColumnGuess(NamedTuple):
    """The columns that may hold time, payload, second probe, ambient temperature, battery in percent, and units."""

    time: tuple[int, ...]
    payload: tuple[int, ...]
    second: tuple[int, ...]
    ambient: tuple[int, ...]
    battery: tuple[int, ...]
    units: tuple[int, ...] = ()


def guess_columns(names: Sequence[str]) -> ColumnGuess:
    """Guess the columns from their names.

    Two time columns are date and clock. There are several payload columns if their names say equally much.
    """
    plain = [plain_name(name) for name in names]
    stamps = [c for c, name in enumerate(plain) if _is_time(name, _STAMPS)]
    dates = [c for c, name in enumerate(plain) if _is_time(name, _DATES)]
    clocks = [c for c, name in enumerate(plain) if _is_time(name, _CLOCKS)]
    halves = [c for c, name in enumerate(plain) if name in _HALVES]
    if stamps:
        # Of local time and UTC, the one whose zone is known.
        stamp = next((c for c in stamps if zone_in_name(names[c]) is not None), stamps[0])
        time = (stamp, *halves[:1])
    else:
        time = (*dates[:1], *clocks[:1], *halves[: 1 if clocks else 0])
    ranked: list[tuple[int, int]] = []
    second, ambient = [], []
    for c, (name, words) in enumerate(zip(names, map(str.split, plain), strict=True)):
        if c in (*stamps, *dates, *clocks) or not _is_temperature(name, words):
            continue
        if _AMBIENT & set(words):
            ambient.append(c)
        elif _SECOND & set(words) and not _PAYLOAD & set(words):
            second.append(c)
        else:
            ranked.append((0 if _PAYLOAD & set(words) else 1 if _FIRST & set(words) else 2, c))
    if not (ranked or second or ambient):
        ranked = [(3, c) for c, name in enumerate(plain) if name in _VALUES]
    best = min((rank for rank, _ in ranked), default=0)
    battery = tuple(c for c, name in enumerate(names) if _is_battery(name))
    payload = tuple(c for rank, c in ranked if rank == best)
    units = tuple(c for c, name in enumerate(plain) if _is_unit(name.split()))
    return ColumnGuess(time, payload, tuple(second), tuple(ambient), battery, units)


def holds_whole_numbers(name: str) -> bool:
    """Whether a column of this name may well hold a whole number of its own."""
    words = set(plain_name(name).split())
    known = _NOT_READ | _NUMBERED | _PROBES | _TEMPERATURES | _BATTERY | _AMBIENT
    return bool(words & known) or "%" in name or "#" in name or unit_in(name) is not None


def _is_time(name: str, known: set[str]) -> bool:
    return any(
        name == each or (name.startswith(f"{each} ") and _is_beside_time(name[len(each) + 1 :].split()))
        for each in known
    )


def _is_beside_time(words: list[str]) -> bool:
    return all(word in _BESIDE_TIME or word.isdigit() for word in words)


def _is_unit(words: list[str]) -> bool:
    """Whether a column holds units, such as `Unit`, or `Temperature unit 2`."""
    beside = (_UNITS, _TEMPERATURES, _PROBES, _PAYLOAD, _VALUES)
    known = all(word.isdigit() or any(word in each for each in beside) for word in words)
    return bool(_UNITS & set(words)) and known


def _is_battery(name: str) -> bool:
    """Whether a column holds the battery in percent; one in volts, or without a unit, says too little."""
    words = set(re.findall(r"[a-z]+", name.casefold()))
    return bool(_BATTERY & words) and ("%" in name or bool(_PERCENT & words))


def _is_temperature(name: str, words: list[str]) -> bool:
    if _NOT_READ & set(words) or "%" in name:
        return False
    numbered_probe = bool(_PROBES & set(words)) and (
        len(words) > 1 or words[0] in _PAYLOAD | {"probe", "neck"}
    )
    return bool(_TEMPERATURES & set(words)) or numbered_probe or unit_in(name) is not None


def plain_name(name: str) -> str:
    """Return a name in lower case without accents, brackets and unit, with words and numbers separated."""
    name = unicodedata.normalize("NFKD", name).casefold()
    name = "".join(letter for letter in name if not unicodedata.combining(letter))
    name = re.sub(r"\(.*?\)|\[.*?\]|\{.*?\}", " ", name).replace("°", " ").replace("º", " ")
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(\d)([a-z])|([a-z])(\d)", r"\1\3 \2\4", name))
    while len(words) > 1 and parse_unit(words[-1]) is not None:
        words.pop()
    return " ".join(words)


def zone_in_name(name: str) -> tzinfo | None:
    """Return the time zone in a column's name; None if it has none."""
    for pair in re.findall(r"\b[A-Z]{3,5}/[A-Z]{3,5}\b", name):
        if (zone := named_zone(pair)) is not None:
            return zone
    match = re.search(
        r"\b(?:UTC|GMT)\s*[+-]\s*\d{1,2}(?::?\d\d)?|\b(?:UTC|GMT)\b|[+-]\d\d:\d\d", name, re.IGNORECASE
    )
    if match is not None:
        return parse_zone(match[0].replace(" ", ""))
    abbreviations = map(named_zone, re.findall(r"\b[A-Z]{3,5}\b", name))
    return next((zone for zone in abbreviations if zone is not None), None)
