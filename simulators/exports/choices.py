"""Pure: what people state about a file, and which columns they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

from simulators.exports.cells import TemperatureUnit
from simulators.exports.column_names import plain_name

RepeatedHour = Literal["first", "second"]


class TraceRefusedError(Exception):
    """The file cannot be read as it is; the text says to a person what to state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What people have stated about a file.

    None means that the file must tell. Columns are names, or numbers from 1. `repeated_hour` is which of the
    two hours is meant, as clocks are put back, where the file leaves it open.
    """

    time_column: str | None = None
    temperature_column: str | None = None
    second_probe_column: str | None = None
    device_id: str | None = None
    zone: tzinfo | None = None
    unit: TemperatureUnit | None = None
    day_first: bool | None = None
    year_first: bool = False
    decimal_comma: bool | None = None
    repeated_hour: RepeatedHour | None = None


def chosen_columns(names: Sequence[str], choice: str | None) -> tuple[int, ...]:
    """Return the columns of a choice such as `Temp`, `2` or `Date+Time`; none if one is missing."""
    if choice is None:
        return ()
    whole = _column_of(names, choice)
    if whole is not None:
        return (whole,)
    parts = [_column_of(names, part) for part in choice.split("+")]
    return tuple(part for part in parts if part is not None) if None not in parts else ()


def _column_of(names: Sequence[str], choice: str) -> int | None:
    choice = choice.strip()
    for alike in (str.casefold, plain_name):
        same = [c for c, name in enumerate(names) if alike(name) == alike(choice)]
        if len(same) == 1 and not (alike is plain_name and not plain_name(choice)):
            return same[0]
    if choice.isdecimal() and 1 <= int(choice) <= (len(names) or 1000):
        return int(choice) - 1
    return None


def only_numbers(choices: Choices) -> bool:
    """Whether the columns of time and temperature are both stated by number."""
    both = (choices.time_column, choices.temperature_column)
    return all(each is not None and each.replace("+", "").isdecimal() for each in both)


def column_numbers(choices: Choices) -> list[int]:
    """Return all column numbers that are stated."""
    stated = (choices.time_column, choices.temperature_column, choices.second_probe_column)
    return [int(part) for each in stated if each for part in each.split("+") if part.isdecimal()]
