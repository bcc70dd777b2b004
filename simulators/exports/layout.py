"""Pure: the layout of an export: its delimiter, its header, and which column holds what."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import NamedTuple

from simulators.exports.cells import TemperatureUnit, parse_number, parse_unit, unit_in
from simulators.exports.choices import (
    Choices,
    TraceRefusedError,
    chosen_columns,
    column_numbers,
    only_numbers,
)
from simulators.exports.column_names import DEVICE_NAMES, ColumnGuess, guess_columns, plain_name, zone_in_name
from simulators.exports.times import parse_time
from simulators.exports.words import is_missing

DELIMITERS = (";", "\t", ",", "|")
HEADER_WITHIN = 200
_TRIED_ROWS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportLayout:
    """Where things are. Columns count from 0. `header` is the number of the header's line, 0 for no header.

    Several time columns are parts of one time. `units` are columns that hold the unit of a temperature.
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
    units: tuple[int, ...]

    @property
    def temperatures(self) -> tuple[int, ...]:
        """Return the columns of temperatures that are read."""
        return tuple(c for c in (self.temperature, self.second, self.ambient) if c is not None)

    def unit(self, column: int) -> TemperatureUnit | None:
        """Return the unit that the header gives a column; None if it gives none."""
        return unit_in(self.names[column]) if column < len(self.names) else None

    def unit_column(self, column: int) -> int | None:
        """Return the column that holds the unit of a temperature: the one beside it, or the only one."""
        beside = [c for c in (column + 1, column - 1) if c in self.units]
        if beside:
            return beside[0]
        return self.units[0] if len(self.units) == 1 else None

    def name(self, column: int) -> str:
        """Return how a column is called to a person: by its name, or by its number from 1."""
        return repr(self.names[column]) if column < len(self.names) else str(column + 1)


class _Candidate(NamedTuple):
    """A line that may be the header, or the first line of a file without one."""

    delimiter: str
    number: int
    names: tuple[str, ...]
    guess: ColumnGuess
    readable: int


def split_cells(line: str, delimiter: str) -> list[str]:
    """Split one line. A quotation mark that is never closed affects only this line."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def time_text(cells: Sequence[str], layout: ExportLayout) -> str:
    """Return the time of a line as it was written, of one column or several."""
    return " ".join(cells[column] for column in layout.time if column < len(cells)).strip()


def find_layout(lines: Sequence[str], choices: Choices) -> ExportLayout:
    """Find delimiter, header and columns: those that make most lines below readable.

    Raises a TraceRefusedError for what cannot be found, or not be chosen.
    """
    found = [each for delimiter in DELIMITERS for each in _candidates(lines, delimiter, choices)]
    if not found:
        raise TraceRefusedError(_not_found(lines, choices))
    best = max(found, key=lambda each: (each.readable, len(each.names)))
    return _arrange(best, choices)


def _candidates(lines: Sequence[str], delimiter: str, choices: Choices) -> Iterator[_Candidate]:
    for number, line in enumerate(lines[:HEADER_WITHIN], 1):
        names = split_cells(line, delimiter)
        if len(names) < 2:
            continue
        by_number = only_numbers(choices) and len(names) >= max(column_numbers(choices))
        if by_number and parse_time(" ".join(names[c] for c in chosen_columns(names, choices.time_column))):
            guess = _columns_by_number(choices)
            yield _Candidate(delimiter, 0, (), guess, _readable(lines[number - 1 :], delimiter, guess))
            return
        guess = guess_columns(names)
        stated = all(
            chosen_columns(names, each) for each in (choices.time_column, choices.temperature_column) if each
        )
        has_time = guess.time or choices.time_column
        has_temperature = guess.payload or guess.second or guess.ambient or choices.temperature_column
        if stated and has_time and has_temperature and not _is_data(names):
            time = chosen_columns(names, choices.time_column) or guess.time
            payload = chosen_columns(names, choices.temperature_column) or guess.payload
            guess = guess._replace(time=time, payload=payload)
            yield _Candidate(
                delimiter, number, tuple(names), guess, _readable(lines[number:], delimiter, guess)
            )


def _readable(lines: Sequence[str], delimiter: str, guess: ColumnGuess) -> int:
    """Return how many of the next lines have a time and a temperature, or a word for none, in the columns."""
    columns = (*guess.payload, *guess.second, *guess.ambient)
    count = 0
    for line in lines[:_TRIED_ROWS]:
        row = split_cells(line, delimiter)
        if len(row) <= max(*guess.time, *columns):
            continue
        time = parse_time(" ".join(row[c] for c in guess.time).strip())
        count += time is not None and any(_is_value(row[c]) for c in columns)
    return count


def _is_value(cell: str) -> bool:
    return is_missing(cell) or any(
        parse_number(cell, decimal_comma=comma) is not None for comma in (False, True)
    )


def _is_data(names: Sequence[str]) -> bool:
    return any(parse_time(name) is not None for name in names)


def _arrange(header: _Candidate, choices: Choices) -> ExportLayout:
    number, names, guess = header.number, header.names, header.guess
    temperature = guess.payload
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
    read = {*guess.time, *temperature, *second, *ambient}
    return ExportLayout(
        delimiter=header.delimiter,
        header=number,
        names=names,
        time=guess.time,
        temperature=temperature[0],
        second=second[0] if second else None,
        ambient=ambient[0] if len(ambient) == 1 else None,
        battery=guess.battery[0] if len(guess.battery) == 1 else None,
        device=device[0] if device else None,
        zone=next(
            (zone for c in guess.time if c < len(names) and (zone := zone_in_name(names[c])) is not None),
            None,
        ),
        units=tuple(c for c in guess.units if c not in read),
    )


def with_unit_column(layout: ExportLayout, rows: Sequence[Sequence[str]]) -> ExportLayout:
    """Return the layout with a column beside the temperature that has no name, if it holds only units."""
    beside = layout.temperature + 1
    named = beside < len(layout.names) and layout.names[beside]
    cells = [row[beside] for row in rows if beside < len(row) and row[beside]]
    if layout.units or named or not cells or any(parse_unit(cell) is None for cell in cells):
        return layout
    return replace(layout, units=(beside,))


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
