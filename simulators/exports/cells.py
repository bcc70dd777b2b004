"""Pure: the cells of an export: numbers as people write them, units, and words for a missing value."""

import re
from decimal import Decimal
from typing import Literal, NamedTuple

TemperatureUnit = Literal["C", "F", "K"]

NO_VALUE = frozenset({"-", "--", "---", "----", "n/a", "na", "n.a.", "nan", "null", "none", "nil"})
NO_PROBE = frozenset(
    {"open", "short", "err", "error", "fault", "ol", "+ol", "-ol", "o.l.", "over", "under", "over range"}
    | {"under range", "disconnected", "no sensor", "no probe", "sensor error", "sensor fault", "probe error"}
    | {"probe fault", "open circuit", "short circuit", "not connected", "lo", "hi", "low", "high", "inf"}
    | {"-inf"}
)
_NUMBER = re.compile(r"([+-]?)(\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE]([+-]?\d{1,2}))?\s*(.*)", re.ASCII | re.DOTALL)
_MINUS = str.maketrans({"−": "-", "–": "-", "\u00a0": " ", "\u202f": " "})
_UNITS: dict[str, TemperatureUnit] = {
    "c": "C", "°c": "C", "ºc": "C", "degc": "C", "deg c": "C", "deg. c": "C", "celsius": "C", "℃": "C",
    "f": "F", "°f": "F", "ºf": "F", "degf": "F", "deg f": "F", "deg. f": "F", "fahrenheit": "F", "℉": "F",
    "k": "K", "°k": "K", "kelvin": "K",
}  # fmt: skip
_ABSURD = Decimal(10) ** 9
_KELVIN_AT_0_C = Decimal("273.15")


class WrittenNumber(NamedTuple):
    """A number as it was written, and the unit behind it."""

    value: Decimal
    unit: TemperatureUnit | None


def is_empty(cell: str) -> bool:
    """Whether a cell is empty."""
    return not cell.strip()


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value or no probe, in words or by a row of # signs."""
    word = cell.translate(_MINUS).strip().casefold()
    return word in NO_VALUE or word in NO_PROBE or (bool(word) and set(word) == {"#"})


def uses_decimal_comma(cell: str) -> bool:
    """Whether a cell is a number with a comma."""
    return re.fullmatch(r"[+-]?\d*,\d+\D*", cell.translate(_MINUS).strip()) is not None


def uses_decimal_point(cell: str) -> bool:
    """Whether a cell is a number with a point."""
    return re.match(r"[+-]?\d*\.\d+", cell.translate(_MINUS).strip()) is not None


def parse_number(cell: str, *, decimal_comma: bool) -> WrittenNumber | None:
    """Read a number; None for the other decimal sign, an unknown unit behind it, or an absurd size."""
    match = _NUMBER.fullmatch(cell.translate(_MINUS).strip())
    if match is None:
        return None
    sign, digits, exponent, behind = match.groups()
    if ("," in digits and not decimal_comma) or ("." in digits and decimal_comma):
        return None
    unit = parse_unit(behind)
    if behind and unit is None:
        return None
    value = Decimal(f"{sign}{digits.replace(',', '.')}e{exponent or 0}")
    return WrittenNumber(value, unit) if abs(value) < _ABSURD else None


def parse_unit(text: str) -> TemperatureUnit | None:
    """Read a unit of temperature that stands alone, such as °F; None for anything else."""
    return _UNITS.get(text.strip().casefold())


def unit_in(header: str) -> TemperatureUnit | None:
    """Return the unit in a column's name: in brackets, after a separator, or as the last word."""
    for piece in re.split(r"[()\[\]{},;/_|]", header):
        if (unit := parse_unit(piece)) is not None:
            return unit
    last = re.search(r"(?:^|\s)(\S+)\s*$", header)
    found = re.search(r"[°º]\s?([CFK])\b", header)
    if found is not None:
        return parse_unit(found[1])
    return None if last is None else parse_unit(last[1])


def to_celsius(value: Decimal, unit: TemperatureUnit) -> float:
    """Convert to °C exactly, and round to three decimals, which is more than any probe resolves."""
    if unit == "F":
        value = (value - 32) * 5 / 9
    elif unit == "K":
        value -= _KELVIN_AT_0_C
    return float(round(value, 3))
