"""Pure: the cells of an export: numbers as people write them, and their units."""

import re
from decimal import Decimal
from typing import Literal, NamedTuple

TemperatureUnit = Literal["C", "F", "K"]

_NUMBER = re.compile(r"([+-]?)(\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE]([+-]?\d{1,2}))?\s*(.*)", re.ASCII | re.DOTALL)
_MINUS = str.maketrans({"−": "-", "–": "-", "\u00a0": " ", "\u202f": " "})
# A degree sign is also written * or o, and becomes another sign where an encoding is taken for another.
_DEGREE = r"(?:a?[°º˚ᵒ∘]|[*'¡ø?\ufffdo])"
_UNIT = re.compile(rf"(?:deg(?:rees?|\.)?|grad|{_DEGREE})?\s*(c|f|k|celsius|fahrenheit|kelvin)")
_IN_NAME = re.compile(r"[°º˚ᵒ∘*\ufffd]\s?([CFK])(?![A-Za-z])")
_BETWEEN = re.compile(r"[()\[\]{},;:=/_|]|\s-\s")
_SIGNS: dict[str, TemperatureUnit] = {"℃": "C", "℉": "F", "¡æ": "C", "¡ãc": "C"}
_LETTERS: dict[str, TemperatureUnit] = {"c": "C", "f": "F", "k": "K"}
_ABSURD = Decimal(10) ** 9
_KELVIN_AT_0_C = Decimal("273.15")


class WrittenNumber(NamedTuple):
    """A number as it was written, and the unit behind it."""

    value: Decimal
    unit: TemperatureUnit | None


def is_empty(cell: str) -> bool:
    """Whether a cell is empty."""
    return not cell.strip()


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
    unit = parse_unit(behind) if behind else None
    if behind and unit is None:
        return None
    value = Decimal(f"{sign}{digits.replace(',', '.')}e{exponent or 0}")
    return WrittenNumber(value, unit) if abs(value) < _ABSURD else None


def parse_unit(text: str) -> TemperatureUnit | None:
    """Read a unit of temperature that stands alone, such as °F; None for anything else."""
    text = text.strip().casefold().replace("â", "a")
    if text in _SIGNS:
        return _SIGNS[text]
    match = _UNIT.fullmatch(text)
    return None if match is None else _LETTERS[match[1][0]]


def unit_in(header: str) -> TemperatureUnit | None:
    """Return the unit in a column's name: in brackets, after a separator, or as the last word.

    None if there is none, or more than one.
    """
    found = {unit for piece in _BETWEEN.split(header) if (unit := parse_unit(piece)) is not None}
    found |= {_LETTERS[letter.casefold()] for letter in _IN_NAME.findall(header)}
    if not found and (last := re.search(r"(?:^|\s)(\S+)\s*$", header)) is not None:
        unit = parse_unit(last[1])
        found = set() if unit is None else {unit}
    return found.pop() if len(found) == 1 else None


def to_celsius(value: Decimal, unit: TemperatureUnit) -> float:
    """Convert to °C exactly, and round to three decimals, which is more than any probe resolves."""
    if unit == "F":
        value = (value - 32) * 5 / 9
    elif unit == "K":
        value -= _KELVIN_AT_0_C
    return float(round(value, 3))
