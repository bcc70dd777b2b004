"""Pure: which column of a logger's export is what: by what its header says, or by what people say."""

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from simulators.exports.cells import Unit, unit_in, unit_of
from simulators.exports.times import written, zone_of

DELIMITERS = (";", "\t", ",", "|")
HEADER_WITHIN = 200

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
    "humidity",
    "rh",
    "dew",
    "alarm",
    "limit",
    "min",
    "max",
    "minimum",
    "maximum",
    "avg",
    "average",
} | {
    *("mean", "mkt", "setpoint", "battery", "status", "event", "type", "name", "id", "serial", "delta", "ok")
}
_SECOND = {"2", "b", "ii", "second", "secondary", "neck", "vapor", "vapour", "lid"}
_AMBIENT = {"ambient", "internal", "room", "case", "outside", "board", "surroundings", "umgebung", "intern"}
_PAYLOAD = {"payload", "product", "sample", "core", "load"}
_FIRST = {"1", "a", "i", "first", "primary", "probe", "external", "ext", "main"}
_DEVICES = {
    "device",
    "device id",
    "logger",
    "logger id",
    "serial",
    "serial number",
    "serial no",
    "sn",
    "logger sn",
}


class TraceRefusedError(Exception):
    """The file cannot be read as it is; the text says to a person what to state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What people have said about a file; None is for us to find out. Columns by name, or by number from 1."""

    time_column: str | None = None
    temperature_column: str | None = None
    second_probe_column: str | None = None
    device_id: str | None = None
    zone: tzinfo | None = None
    unit: Unit | None = None
    day_first: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where things stand; columns from 0. `header` is the line it stands on, 0 for none; two time columns are date and clock."""

    delimiter: str
    header: int
    names: tuple[str, ...]
    time: tuple[int, ...]
    temperature: int
    second: int | None
    ambient: int | None
    device: int | None
    zone: tzinfo | None

    def unit(self, column: int) -> Unit | None:
        """Return the unit that the header gives a column."""
        return unit_in(self.names[column]) if column < len(self.names) else None


class _Columns(NamedTuple):
    time: tuple[int, ...]
    payload: tuple[int, ...]
    second: tuple[int, ...]
    ambient: tuple[int, ...]


def cells(line: str, delimiter: str) -> list[str]:
    """Split one line; a quotation mark that is never closed costs this line only."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def layout(lines: Sequence[str], choices: Choices) -> Layout:
    """Find delimiter, header and columns; what cannot be found or chosen is a TraceRefusedError."""
    found = [each for delimiter in DELIMITERS if (each := _laid_out(lines, delimiter, choices)) is not None]
    if not found:
        raise TraceRefusedError(_not_found(lines, choices))
    return max(found, key=lambda each: len(each.names))


def _laid_out(lines: Sequence[str], delimiter: str, choices: Choices) -> Layout | None:
    for number, line in enumerate(lines[:HEADER_WITHIN], 1):
        names = cells(line, delimiter)
        if len(names) < 2:
            continue
        by_number = _only_numbers(choices) and len(names) >= max(_numbers(choices))
        if by_number and written(" ".join(names[c] for c in _chosen(names, choices.time_column))):
            return _arranged(delimiter, 0, (), _numbered(choices), choices)
        columns = _guessed(names)
        stated = all(
            _chosen(names, each) for each in (choices.time_column, choices.temperature_column) if each
        )
        has_time = columns.time or choices.time_column
        has_temperature = columns.payload or columns.second or columns.ambient or choices.temperature_column
        if stated and has_time and has_temperature and not _is_data(names):
            return _arranged(delimiter, number, tuple(names), columns, choices)
    return None


def _is_data(names: Sequence[str]) -> bool:
    return any(written(name) is not None for name in names)


def _arranged(
    delimiter: str, number: int, names: tuple[str, ...], guess: _Columns, choices: Choices
) -> Layout:
    time = _chosen(names, choices.time_column) or guess.time
    temperature = _chosen(names, choices.temperature_column) or guess.payload
    second = _chosen(names, choices.second_probe_column) or tuple(
        c for c in guess.second if c not in temperature
    )
    if choices.second_probe_column and not _chosen(names, choices.second_probe_column):
        raise TraceRefusedError(_no_column("--second-probe-column", choices.second_probe_column, names))
    if len(temperature) != 1:
        raise TraceRefusedError(
            f"line {number}: which column is the payload's temperature? State it with --temperature-column: {_told(names)}"
        )
    if len(second) > 1:
        raise TraceRefusedError(
            f"line {number}: which column is the second probe? State it with --second-probe-column: {_told(names)}"
        )
    ambient = [c for c in guess.ambient if c not in (*temperature, *second)]
    device = [c for c, name in enumerate(names) if _plain(name) in _DEVICES]
    return Layout(
        delimiter=delimiter,
        header=number,
        names=names,
        time=time,
        temperature=temperature[0],
        second=second[0] if second else None,
        ambient=ambient[0] if len(ambient) == 1 else None,
        device=device[0] if device else None,
        zone=next((zone for c in time if c < len(names) and (zone := _zone_in(names[c])) is not None), None),
    )


def _guessed(names: Sequence[str]) -> _Columns:
    plain = [_plain(name) for name in names]
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
    return _Columns(time, tuple(c for rank, c in ranked if rank == best), tuple(second), tuple(ambient))


def _is_time(name: str, known: set[str]) -> bool:
    return any(
        name == each or (name.startswith(f"{each} ") and _is_beside_time(name[len(each) + 1 :].split()))
        for each in known
    )


def _is_beside_time(words: list[str]) -> bool:
    return all(word in _BESIDE_TIME or word.isdigit() for word in words)


def _is_temperature(name: str, words: list[str]) -> bool:
    if _NOT_READ & set(words):
        return False
    numbered_probe = bool(_PROBES & set(words)) and (
        len(words) > 1 or words[0] in _PAYLOAD | {"probe", "neck"}
    )
    return bool(_TEMPERATURES & set(words)) or numbered_probe or unit_in(name) is not None


def _plain(name: str) -> str:
    """Return a name in small letters without accents, brackets and unit, its words and numbers apart."""
    name = unicodedata.normalize("NFKD", name).casefold()
    name = "".join(letter for letter in name if not unicodedata.combining(letter))
    name = re.sub(r"\(.*?\)|\[.*?\]|\{.*?\}", " ", name).replace("°", " ").replace("º", " ")
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(\d)([a-z])|([a-z])(\d)", r"\1\3 \2\4", name))
    while len(words) > 1 and unit_of(words[-1]) is not None:
        words.pop()
    return " ".join(words)


def _zone_in(name: str) -> tzinfo | None:
    match = re.search(
        r"\b(?:UTC|GMT)\s*[+-]\s*\d{1,2}(?::?\d\d)?|\b(?:UTC|GMT)\b|[+-]\d\d:\d\d", name, re.IGNORECASE
    )
    return None if match is None else zone_of(match[0].replace(" ", ""))


def _chosen(names: Sequence[str], choice: str | None) -> tuple[int, ...]:
    """Return the columns of a choice such as Temp, 2 or Date+Time; none where one of them is not there."""
    if choice is None:
        return ()
    whole = _column(names, choice)
    if whole is not None:
        return (whole,)
    parts = [_column(names, part) for part in choice.split("+")]
    return tuple(part for part in parts if part is not None) if None not in parts else ()


def _column(names: Sequence[str], choice: str) -> int | None:
    choice = choice.strip()
    for alike in (str.casefold, _plain):
        same = [c for c, name in enumerate(names) if alike(name) == alike(choice)]
        if len(same) == 1 and not (alike is _plain and not _plain(choice)):
            return same[0]
    if choice.isdecimal() and 1 <= int(choice) <= (len(names) or 1000):
        return int(choice) - 1
    return None


def _only_numbers(choices: Choices) -> bool:
    both = (choices.time_column, choices.temperature_column)
    return all(each is not None and each.replace("+", "").isdecimal() for each in both)


def _numbers(choices: Choices) -> list[int]:
    stated = (choices.time_column, choices.temperature_column, choices.second_probe_column)
    return [int(part) for each in stated if each for part in each.split("+") if part.isdecimal()]


def _numbered(choices: Choices) -> _Columns:
    return _Columns(_chosen((), choices.time_column), _chosen((), choices.temperature_column), (), ())


def _not_found(lines: Sequence[str], choices: Choices) -> str:
    rows = [(n, cells(line, d)) for n, line in enumerate(lines[:HEADER_WITHIN], 1) for d in DELIMITERS]
    number, widest = max(rows, key=lambda row: len(row[1]), default=(0, []))
    for option, choice in (
        ("--time-column", choices.time_column),
        ("--temperature-column", choices.temperature_column),
    ):
        if choice is not None:
            return f"no line has a column {choice!r}, for {option}, and what else is needed; line {number} has {_told(widest)}"
    return (
        "no line names a column for the time and one for the temperature; state them with --time-column and "
        f"--temperature-column, by name or number. Line {number} has {_told(widest)}"
    )


def _no_column(option: str, choice: str, names: Sequence[str]) -> str:
    return f"{option} {choice}: there is no such column; there are {_told(names)}"


def _told(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {name!r}" for number, name in enumerate(names[:12], 1)) or "nothing"
