"""Pure: what holds for a whole export: its decimal sign, its units, its date order and its time zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from simulators.exports.cells import (
    TemperatureUnit,
    WrittenNumber,
    parse_number,
    to_celsius,
    uses_decimal_comma,
    uses_decimal_point,
)
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.date_orders import settle_order
from simulators.exports.decimals import BodyLine
from simulators.exports.layout import ExportLayout, time_text
from simulators.exports.rows import ExportRow, are_units, shown, unit_alone
from simulators.exports.times import DateOrder
from simulators.exports.zones import ZoneLine


@dataclass(frozen=True, kw_only=True, slots=True)
class Conventions:
    """How a file writes its values.

    `units` has the unit of each column, unless every cell has its own; `unit_columns` has the column that holds
    the unit of another column's cells. `stated` is the unit that people have stated.
    """

    decimal_comma: bool
    units: Mapping[int, TemperatureUnit]
    unit_columns: Mapping[int, int]
    stated: TemperatureUnit | None
    order: DateOrder | None
    zone: tzinfo | None

    def number(self, cell: str) -> WrittenNumber | None:
        """Return the number in a cell; None if it is none."""
        return parse_number(cell, decimal_comma=self.decimal_comma)

    def unit(self, cells: Sequence[str], column: int) -> TemperatureUnit | None:
        """Return the unit of a column in a line; None if it has none, or another than the one that was stated."""
        beside = self.unit_columns.get(column)
        if beside is None or beside >= len(cells) or not cells[beside]:
            return self.units.get(column)
        own = unit_alone(cells[beside])
        return own if self.stated in (None, own) else None

    def celsius(self, cells: Sequence[str], column: int) -> float | None:
        """Return the temperature in a column of a line; None if there is none."""
        read = self.number(cells[column])
        if read is None:
            return None
        unit = read.unit or self.unit(cells, column)
        return None if unit is None else to_celsius(read.value, unit)

    def percent(self, cell: str) -> float | None:
        """Return the percentage in a cell, from 0 to 100; None if it is not one."""
        read = self.number(cell.strip().removesuffix("%"))
        return (
            float(read.value) if read is not None and read.unit is None and 0 <= read.value <= 100 else None
        )


def find_conventions(
    layout: ExportLayout,
    choices: Choices,
    body: Sequence[BodyLine],
    rows: Sequence[ExportRow],
    *,
    zone_line: ZoneLine | None,
    now: datetime | None,
) -> Conventions:
    """Find what holds for the whole file. Raises a TraceRefusedError for what people must state."""
    columns = layout.temperatures
    sound = [row for row in rows if row.fault is None]
    values = [row.cells[c] for row in sound for c in columns if c < len(row.cells)]
    decimal_comma = choices.decimal_comma
    if decimal_comma is None:
        decimal_comma = any(map(uses_decimal_comma, values)) and not any(map(uses_decimal_point, values))
    beside = {c: u for c in columns if (u := layout.unit_column(c)) is not None}
    below = next((line.cells for line in body if are_units(line.cells, layout)), [])
    units: dict[int, TemperatureUnit] = {}
    for column in columns:
        unit = choices.unit or layout.unit(column)
        if unit is None and column < len(below):
            unit = unit_alone(below[column])
        if unit is not None:
            units[column] = unit
            if column in beside and choices.unit is None:
                _agree(sound, layout, column, beside[column], unit)
        elif not _says_units(sound, beside.get(column)) and any(
            _lacks_unit(row, column, decimal_comma=decimal_comma) for row in sound
        ):
            raise TraceRefusedError(
                f"the file does not tell the unit of the column {layout.name(column)}: "
                "state it with --unit C, F or K"
            )
    of = [("" if layout.device is None else _cell(row, layout.device), row.line, row.time) for row in rows]
    return Conventions(
        decimal_comma=decimal_comma,
        units=units,
        unit_columns=beside,
        stated=choices.unit,
        order=settle_order(of, choices, now),
        zone=_zone(layout, choices, rows, zone_line),
    )


def _cell(row: ExportRow, column: int) -> str:
    return row.cells[column] if column < len(row.cells) else ""


def _agree(
    rows: Sequence[ExportRow], layout: ExportLayout, column: int, beside: int, unit: TemperatureUnit
) -> None:
    """Raise a TraceRefusedError if the header names one unit of temperature, and a line another."""
    for row in rows:
        said = unit_alone(_cell(row, beside))
        if said not in (None, unit):
            raise TraceRefusedError(
                f"line {row.line}: the header says that {layout.name(column)} is in {unit}, the line that it is in "
                f"{said}: state it with --unit C, F or K"
            )


def _says_units(rows: Sequence[ExportRow], beside: int | None) -> bool:
    """Whether a column holds the units of temperatures."""
    return beside is not None and any(unit_alone(_cell(row, beside)) is not None for row in rows)


def _lacks_unit(row: ExportRow, column: int, *, decimal_comma: bool) -> bool:
    """Whether the cell of a column is a number without a unit."""
    read = parse_number(_cell(row, column), decimal_comma=decimal_comma)
    return read is not None and read.unit is None


def _zone(
    layout: ExportLayout, choices: Choices, rows: Sequence[ExportRow], line: ZoneLine | None
) -> tzinfo | None:
    """Return the zone of times that name none. Raises a TraceRefusedError if it is not known."""
    bare = next((row for row in rows if row.time.zone is None), None)
    if choices.zone is not None or bare is None:
        return choices.zone
    state = "state it with --time-zone, such as UTC, +02:00 or Europe/Zurich"
    if line is not None and line.zone is None and layout.zone is None:
        raise TraceRefusedError(
            f"line {line.line} does not tell the time zone clearly: {shown(line.said)}: {state}"
        )
    at = bare.time.settled("day first") or datetime(2026, 1, 1)  # noqa: DTZ001 (local)
    zones = [zone for zone in (layout.zone, line.zone if line else None) if zone is not None]
    if not zones:
        text = time_text(bare.cells, layout)
        raise TraceRefusedError(
            f"line {bare.line}: {text!r} has no time zone, and the header names none: {state}"
        )
    if len({zone.utcoffset(at) for zone in zones}) > 1:
        raise TraceRefusedError(
            f"the header says that times are in {zones[0]}, line {line.line if line else 0} that they are in "
            f"{zones[1]}: {state}"
        )
    return zones[0]
