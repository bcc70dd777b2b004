"""Pure: the layout of an export: its delimiter, its header, and which column holds what."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from simulators.exports.cells import TemperatureUnit, unit_in
from simulators.exports.choices import (
    Choices,
    TraceRefusedError,
    chosen_columns,
    column_numbers,
    only_numbers,
)
from simulators.exports.column_names import DEVICE_NAMES, ColumnGuess, guess_columns, plain_name, zone_in_name
from simulators.exports.times import parse_time

DELIMITERS = (";", "\t", ",", "|")
HEADER_WITHIN = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportLayout:
    """Where things are. Columns count from 0. `header` is the number of the header's line, 0 for no header.

    Two time columns are date and clock.
    """

    delimiter: str
    header: int
    names: tuple[str, ...]
    time: tuple[int, ...]
    temperature: int
    second: int | None
    ambient: int | None
    battery: int | None
    device: int | None
    zone: tzinfo | None

    def unit(self, column: int) -> TemperatureUnit | None:
        """Return the unit that the header gives a column; None if it gives none."""
        return unit_in(self.names[column]) if column < len(self.names) else None


def split_cells(line: str, delimiter: str) -> list[str]:
    """Split one line. A quotation mark that is never closed affects only this line."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def find_layout(lines: Sequence[str], choices: Choices) -> ExportLayout:
    """Find delimiter, header and columns.

    Raises a TraceRefusedError for what cannot be found, or not be chosen.
    """
    found = [
        each for delimiter in DELIMITERS if (each := _layout_with(lines, delimiter, choices)) is not None
    ]
    if not found:
        raise TraceRefusedError(_not_found(lines, choices))
    return max(found, key=lambda each: len(each.names))


def _layout_with(lines: Sequence[str], delimiter: str, choices: Choices) -> ExportLayout | None:
    for number, line in enumerate(lines[:HEADER_WITHIN], 1):
        names = split_cells(line, delimiter)
        if len(names) < 2:
            continue
        by_number = only_numbers(choices) and len(names) >= max(column_numbers(choices))
        if by_number and parse_time(" ".join(names[c] for c in chosen_columns(names, choices.time_column))):
            return _arrange(delimiter, 0, (), _columns_by_number(choices), choices)
        columns = guess_columns(names)
        stated = all(
            chosen_columns(names, each) for each in (choices.time_column, choices.temperature_column) if each
        )
        has_time = columns.time or choices.time_column
        has_temperature = columns.payload or columns.second or columns.ambient or choices.temperature_column
        if stated and has_time and has_temperature and not _is_data(names):
            return _arrange(delimiter, number, tuple(names), columns, choices)
    return None


def _is_data(names: Sequence[str]) -> bool:
    return any(parse_time(name) is not None for name in names)


def _arrange(
    delimiter: str, number: int, names: tuple[str, ...], guess: ColumnGuess, choices: Choices
) -> ExportLayout:
    time = chosen_columns(names, choices.time_column) or guess.time
    temperature = chosen_columns(names, choices.temperature_column) or guess.payload
    second = chosen_columns(names, choices.second_probe_column) or tuple(
        c for c in guess.second if c not in temperature
    )
    if choices.second_probe_column and not chosen_columns(names, choices.second_probe_column):
        raise TraceRefusedError(_no_column("--second-probe-column", choices.second_probe_column, names))
    if len(temperature) != 1:
        raise TraceRefusedError(
            f"line {number}: which column is the payload's temperature? "
            f"State it with --temperature-column: {_listed(names)}"
        )
    if len(second) > 1:
        raise TraceRefusedError(
            f"line {number}: which column is the second probe? "
            f"State it with --second-probe-column: {_listed(names)}"
        )
    ambient = [c for c in guess.ambient if c not in (*temperature, *second)]
    device = [c for c, name in enumerate(names) if plain_name(name) in DEVICE_NAMES]
    return ExportLayout(
        delimiter=delimiter,
        header=number,
        names=names,
        time=time,
        temperature=temperature[0],
        second=second[0] if second else None,
        ambient=ambient[0] if len(ambient) == 1 else None,
        battery=guess.battery[0] if len(guess.battery) == 1 else None,
        device=device[0] if device else None,
        zone=next(
            (zone for c in time if c < len(names) and (zone := zone_in_name(names[c])) is not None), None
        ),
    )


def _columns_by_number(choices: Choices) -> ColumnGuess:
    return ColumnGuess(
        chosen_columns((), choices.time_column), chosen_columns((), choices.temperature_column), (), (), ()
    )


def _not_found(lines: Sequence[str], choices: Choices) -> str:
    rows = [(n, split_cells(line, d)) for n, line in enumerate(lines[:HEADER_WITHIN], 1) for d in DELIMITERS]
    number, widest = max(rows, key=lambda row: len(row[1]), default=(0, []))
    for option, choice in (
        ("--time-column", choices.time_column),
        ("--temperature-column", choices.temperature_column),
    ):
        if choice is not None:
            return (
                f"no line has a column {choice!r}, for {option}, and the others that are needed; "
                f"line {number} has {_listed(widest)}"
            )
    return (
        "no line names a column for the time and one for the temperature; state them with --time-column and "
        f"--temperature-column, by name or number. Line {number} has {_listed(widest)}"
    )


def _no_column(option: str, choice: str, names: Sequence[str]) -> str:
    return f"{option} {choice}: there is no such column; there are {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {name!r}" for number, name in enumerate(names[:12], 1)) or "nothing"
