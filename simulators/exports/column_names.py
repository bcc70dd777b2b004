"""Pure: what the columns of an export hold, as their names suggest."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

from simulators.exports.cells import parse_unit, unit_in
from simulators.exports.zones import parse_zone

_STAMPS = {
    *("date time", "datetime", "timestamp", "time stamp", "date and time", "measured at", "logged at"),
    *("recorded at", "reading time", "sample time", "measurement time", "local time", "utc time", "utc"),
    *("datum uhrzeit", "datum zeit", "zeitstempel", "horodatage", "date heure", "fecha hora", "fecha y hora"),
}
_DATES = {"date", "datum", "fecha"}
_CLOCKS = {"time", "zeit", "uhrzeit", "hora", "heure"}
_BESIDE_TIME = {"utc", "gmt", "local", "z", "yyyy", "mm", "dd", "hh", "ss", "time", "zone"}
_TEMPERATURES = {"temp", "temps", "temperature", "temperatur", "temperatura"}
_PROBES = {"probe", "sensor", "channel", "ch", "t", "payload", "product", "sample", "neck"}
_NOT_READ = {
    *("humidity", "rh", "dew", "alarm", "limit", "min", "max", "minimum", "maximum", "avg", "average"),
    *("mean", "mkt", "setpoint", "battery", "status", "event", "type", "name", "id", "serial", "delta", "ok"),
}
_SECOND = {"2", "b", "ii", "second", "secondary", "neck", "vapor", "vapour", "lid"}
_AMBIENT = {"ambient", "internal", "room", "case", "outside", "board", "surroundings", "umgebung", "intern"}
_BATTERY = {"battery", "batterie", "batteria", "bateria", "batt", "akku"}
_PERCENT = {"pct", "percent", "percentage", "prozent"}
_PAYLOAD = {"payload", "product", "sample", "core", "load"}
_FIRST = {"1", "a", "i", "first", "primary", "probe", "external", "ext", "main"}
DEVICE_NAMES = {
    *("device", "device id", "logger", "logger id", "serial", "serial number", "serial no", "sn", "logger sn")
}


class ColumnGuess(NamedTuple):
    """The columns that may hold time, payload, second probe, ambient temperature, and battery in percent."""

    time: tuple[int, ...]
    payload: tuple[int, ...]
    second: tuple[int, ...]
    ambient: tuple[int, ...]
    battery: tuple[int, ...]


def guess_columns(names: Sequence[str]) -> ColumnGuess:
    """Guess the columns from their names.

    Two time columns are date and clock. There are several payload columns if their names say equally much.
    """
    plain = [plain_name(name) for name in names]
    stamps = [c for c, name in enumerate(plain) if _is_time(name, _STAMPS)]
    dates = [c for c, name in enumerate(plain) if _is_time(name, _DATES)]
    clocks = [c for c, name in enumerate(plain) if _is_time(name, _CLOCKS)]
    if stamps:
        time = tuple(stamps[:1])
    else:
        time = (*dates[:1], *clocks[:1])
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
    best = min((rank for rank, _ in ranked), default=0)
    battery = tuple(c for c, name in enumerate(names) if _is_battery(name))
    payload = tuple(c for rank, c in ranked if rank == best)
    return ColumnGuess(time, payload, tuple(second), tuple(ambient), battery)


def _is_time(name: str, known: set[str]) -> bool:
    return any(
        name == each or (name.startswith(f"{each} ") and _is_beside_time(name[len(each) + 1 :].split()))
        for each in known
    )


def _is_beside_time(words: list[str]) -> bool:
    return all(word in _BESIDE_TIME or word.isdigit() for word in words)


def _is_battery(name: str) -> bool:
    """Whether a column holds the battery in percent; one in volts, or without a unit, says too little."""
    words = set(re.findall(r"[a-z]+", name.casefold()))
    return bool(_BATTERY & words) and ("%" in name or bool(_PERCENT & words))


def _is_temperature(name: str, words: list[str]) -> bool:
    if _NOT_READ & set(words):
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
    match = re.search(
        r"\b(?:UTC|GMT)\s*[+-]\s*\d{1,2}(?::?\d\d)?|\b(?:UTC|GMT)\b|[+-]\d\d:\d\d", name, re.IGNORECASE
    )
    return None if match is None else parse_zone(match[0].replace(" ", ""))
