"""Pure: what holds for a whole export: its decimal sign, its units, its date order and its time zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from simulators.exports.cells import (
    TemperatureUnit,
    parse_number,
    to_celsius,
    uses_decimal_comma,
    uses_decimal_point,
)
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.layout import ExportLayout
from simulators.exports.rows import ExportRow, are_units, unit_alone
from simulators.exports.times import DateOrder, find_date_order


@dataclass(frozen=True, kw_only=True, slots=True)
class Conventions:
    """How a file writes its values. `units` has the unit of each column, unless every cell has its own."""

    decimal_comma: bool
    units: Mapping[int, TemperatureUnit]
    order: DateOrder | None
    zone: tzinfo | None

    def celsius(self, cell: str, column: int) -> float | None:
        """Return the temperature in a cell of a column; None if it is not one."""
        read = parse_number(cell, decimal_comma=self.decimal_comma)
        if read is None:
            return None
        unit = read.unit or self.units.get(column)
        return None if unit is None else to_celsius(read.value, unit)

    def percent(self, cell: str) -> float | None:
        """Return the percentage in a cell, from 0 to 100; None if it is not one."""
        read = parse_number(cell.strip().removesuffix("%"), decimal_comma=self.decimal_comma)
        return (
            float(read.value) if read is not None and read.unit is None and 0 <= read.value <= 100 else None
        )


def find_conventions(
    layout: ExportLayout,
    choices: Choices,
    body: Sequence[tuple[int, list[str]]],
    rows: Sequence[ExportRow],
) -> Conventions:
    """Find what holds for the whole file. Raises a TraceRefusedError for what people must state."""
    columns = [c for c in (layout.temperature, layout.second, layout.ambient) if c is not None]
    values = [row.cells[c] for row in rows for c in columns if c < len(row.cells)]
    decimal_comma = any(map(uses_decimal_comma, values)) and not any(map(uses_decimal_point, values))
    below = next((row for _, row in body if are_units(row, layout)), [])
    units: dict[int, TemperatureUnit] = {}
    for column in columns:
        unit = choices.unit or layout.unit(column)
        if unit is None and column < len(below):
            unit = unit_alone(below[column])
        if unit is not None:
            units[column] = unit
        elif any(_lacks_unit(row, column, decimal_comma=decimal_comma) for row in rows):
            name = layout.names[column] if column < len(layout.names) else str(column + 1)
            raise TraceRefusedError(
                f"the file does not tell the unit of the column {name!r}: state it with --unit C, F or K"
            )
    order = _date_order(rows, day_first=choices.day_first)
    zone = choices.zone or layout.zone
    bare = next((row for row in rows if row.time.zone is None), None)
    if bare is not None and zone is None:
        text = " ".join(bare.cells[c] for c in layout.time)
        raise TraceRefusedError(
            f"line {bare.line}: {text!r} has no time zone, and the header names none: "
            "state it with --time-zone, such as UTC, +02:00 or Europe/Zurich"
        )
    return Conventions(decimal_comma=decimal_comma, units=units, order=order, zone=zone)


def _lacks_unit(row: ExportRow, column: int, *, decimal_comma: bool) -> bool:
    """Whether the cell of a column is a number without a unit."""
    read = parse_number(row.cells[column], decimal_comma=decimal_comma) if column < len(row.cells) else None
    return read is not None and read.unit is None


def _date_order(rows: Sequence[ExportRow], *, day_first: bool | None) -> DateOrder | None:
    undecided = [row for row in rows if row.time.order is None]
    if not undecided:
        return rows[0].time.order if rows else None
    if day_first is not None:
        return "day first" if day_first else "month first"
    order = find_date_order(row.time for row in undecided)
    if order is None:
        line, time = undecided[0].line, undecided[0].time
        raise TraceRefusedError(
            f"line {line}: is {time.first}/{time.then}/{time.year} day first or month first? "
            "No date in the file decides it: state --day-first or --month-first"
        )
    return order
