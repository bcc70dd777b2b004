"""Pure: the CSV of a real logger as readings, with remarks about every line that is not in order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

from simulators.exports.cells import TemperatureUnit, is_empty
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.conventions import Conventions, find_conventions
from simulators.exports.decimals import undivided
from simulators.exports.layout import ExportLayout, find_layout, time_text, with_unit_column
from simulators.exports.put_back import LocalTime, place_all
from simulators.exports.reading import ExportedReading
from simulators.exports.rows import ExportRow, Remark, are_units, body_of, decode_text, rows_of, shown
from simulators.exports.times import DateOrder
from simulators.exports.words import is_missing, is_sentinel
from simulators.exports.zones import PlacedTime, zone_line
from simulators.wire.topics import is_device_id

COLDEST_C, WARMEST_C = -273.15, 150.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedTrace:
    """What a file holds.

    `unit` and `order` are None if no reading needed them, `zone` if every time had its own. `garbled` holds
    the loggers and instants of lines whose temperature looks like a number but cannot be read.
    """

    layout: ExportLayout
    decimal_comma: bool
    unit: TemperatureUnit | None
    second_unit: TemperatureUnit | None
    order: DateOrder | None
    zone: tzinfo | None
    lines: int
    readings: tuple[ExportedReading, ...]
    garbled: tuple[tuple[str, datetime], ...]
    remarks: tuple[Remark, ...]

    @property
    def unread(self) -> int:
        """Return how many lines gave no reading."""
        return sum(not remark.sent for remark in self.remarks)


def read_trace(content: bytes, choices: Choices, now: datetime | None = None) -> ExportedTrace:
    """Read a file. Mistakes in single lines become remarks.

    `now` is when the file is read: what would be years ahead is not meant. Raises a TraceRefusedError for what
    people must state first.
    """
    lines = re.split(r"\r\n|\n|\r", decode_text(content))
    layout = find_layout(lines, choices)
    body = body_of(lines, layout)
    layout = with_unit_column(layout, [line.cells for line in body])
    whole = undivided(body, layout, decimal_comma=choices.decimal_comma)
    remarks: list[Remark] = []
    rows = list(rows_of(whole, layout, remarks))
    said = zone_line(_around(lines, layout, rows))
    conventions = find_conventions(layout, choices, whole, rows, zone_line=said, now=now)
    if layout.device is None and choices.device_id is None:
        raise TraceRefusedError("no column names the logger: state it with --device-id")
    reader = _RowReader(layout, conventions, choices)
    readings = list(reader.read(rows, remarks))
    if choices.unit is None:
        _refuse_another_unit(readings, layout)
    remarks += _repeated(readings)
    return ExportedTrace(
        layout=replace(layout, zone=layout.zone or (said.zone if said else None)),
        decimal_comma=conventions.decimal_comma,
        unit=conventions.units.get(layout.temperature),
        second_unit=None if layout.second is None else conventions.units.get(layout.second),
        order=conventions.order,
        zone=conventions.zone if any(row.time.zone is None for row in rows) else None,
        lines=sum(not are_units(row.cells, layout) for row in body),
        readings=tuple(readings),
        garbled=tuple(reader.garbled),
        remarks=tuple(sorted(remarks, key=lambda remark: remark.line)),
    )


def _around(
    lines: Sequence[str], layout: ExportLayout, rows: Sequence[ExportRow]
) -> Iterator[tuple[int, str]]:
    """Yield the lines above the readings and below them, which tell of the file."""
    first, last = (rows[0].line, rows[-1].line) if rows else (layout.header, len(lines))
    for number, line in enumerate(lines, 1):
        if (number < first or number > last) and number != layout.header:
            yield number, line


class _RowReader:
    """Turns rows into readings, and collects those that are garbled."""

    def __init__(self, layout: ExportLayout, conventions: Conventions, choices: Choices) -> None:
        self.garbled: list[tuple[str, datetime]] = []
        self._layout = layout
        self._conventions = conventions
        self._choices = choices
        self._only_id = ""

    def read(self, rows: Sequence[ExportRow], remarks: list[Remark]) -> Iterator[ExportedReading]:
        """Yield the readings in the order of the file."""
        remarks += [Remark(row.line, row.fault, sent=False) for row in rows if row.fault]
        named = {self._cell(row, self._layout.device) for row in rows} - {""}
        # Some loggers write their number only once, in the first line.
        self._only_id = named.pop() if len(named) == 1 else ""
        placed = self._placed(rows, remarks)
        for row in rows:
            if row.fault or row.line not in placed:
                continue
            said: list[Remark] = []
            reading = self._reading(row, placed[row.line], said)
            if isinstance(reading, str):
                remarks.append(Remark(row.line, reading, sent=False))
            else:
                remarks += said
                yield reading

    def _placed(self, rows: Sequence[ExportRow], remarks: list[Remark]) -> dict[int, PlacedTime]:
        """Return the instants of the lines that have one; remarks about the others go to `remarks`."""
        of_loggers: dict[str, list[LocalTime]] = {}
        for row in rows:
            local = row.time.settled(self._conventions.order or "year first")
            if row.fault and local is None:
                continue
            if not row.fault and all(
                is_empty(self._cell(row, c)) for c in (self._layout.temperature, self._layout.second)
            ):
                # A line about an event stands at any time, and would hide the interval.
                remarks.append(Remark(row.line, "there is no temperature", sent=False))
            elif local is None:
                remarks.append(Remark(row.line, f"{self._text(row)} is not a valid time", sent=False))
            else:
                time = LocalTime(row.line, self._text(row), local)
                of_loggers.setdefault(self._device(row), []).append(time)
        if not any(row.time.has_half for row in rows):
            for times in of_loggers.values():
                _refuse_half_days(times)
        placed: dict[int, PlacedTime] = {}
        for times in of_loggers.values():
            placed |= place_all(times, self._conventions.zone, self._choices.repeated_hour)
        return placed

    def _reading(self, row: ExportRow, at: PlacedTime, remarks: list[Remark]) -> ExportedReading | str:
        """Return the reading of a row, or the reason why there is none; remarks about it go to `remarks`."""
        device_id = self._device(row)
        if not is_device_id(device_id):
            return f"{shown(device_id)} is not a device id: letters, digits, _ and - are allowed"
        column = self._layout.temperature
        cell = row.cells[column]
        temperature = self._sound(row, column, remarks)
        second = self._celsius(row, self._layout.second, "second probe", remarks)
        ambient = self._celsius(row, self._layout.ambient, "ambient temperature", remarks)
        battery = self._battery(row, remarks)
        if temperature is None and is_empty(cell) and second is None:
            return "there is no temperature"
        if temperature is None and not self._says_none(cell) and not is_empty(cell):
            if self._conventions.number(cell) is not None:
                unit = self._cell(row, self._conventions.unit_columns.get(column))
                return f"{shown(cell)} is not taken as a temperature: its unit is {shown(unit)}"
            if any(map(str.isdigit, cell)):  # text without a digit is about an event, not a measurement
                self.garbled.append((device_id, at.at))
            return f"{shown(cell)} is not a temperature"
        if at.twice:
            note = f"{self._text(row)} occurs twice in {self._conventions.zone}; taken as {at.at:%H:%M}Z"
            remarks.append(Remark(row.line, note, sent=True))
        if temperature is not None and not COLDEST_C <= temperature <= WARMEST_C:
            note = f"{temperature:g} °C is outside what a probe can read; is the unit right?"
            remarks.append(Remark(row.line, note, sent=True))
        return ExportedReading(
            line=row.line,
            device_id=device_id,
            measured_at=at.at,
            temperature_c=temperature,
            temperature_2_c=second,
            ambient_c=ambient,
            battery_pct=battery,
        )

    def _text(self, row: ExportRow) -> str:
        return time_text(row.cells, self._layout)

    def _device(self, row: ExportRow) -> str:
        return self._choices.device_id or self._cell(row, self._layout.device) or self._only_id

    def _cell(self, row: ExportRow, column: int | None) -> str:
        return row.cells[column] if column is not None and column < len(row.cells) else ""

    def _says_none(self, cell: str) -> bool:
        """Whether a cell says that there is no temperature: in words, or by a number that means none."""
        read = self._conventions.number(cell)
        return is_missing(cell) or (read is not None and is_sentinel(read.value))

    def _sound(self, row: ExportRow, column: int, remarks: list[Remark]) -> float | None:
        """Read a temperature; None also for a number that no probe reads and that loggers write for none."""
        value = self._conventions.celsius(row.cells, column)
        if value is None or COLDEST_C <= value <= WARMEST_C or not self._says_none(row.cells[column]):
            return value
        note = f"{shown(row.cells[column])} is taken for the mark of a logger without a sound probe"
        remarks.append(Remark(row.line, note, sent=True))
        return None

    def _celsius(self, row: ExportRow, column: int | None, what: str, remarks: list[Remark]) -> float | None:
        """Read a temperature that a reading can do without."""
        cell = self._cell(row, column)
        if column is None or is_empty(cell):
            return None
        value = self._sound(row, column, remarks)
        if value is None and not self._says_none(cell):
            note = f"sent without {what}: {shown(cell)} is not a temperature"
            remarks.append(Remark(row.line, note, sent=True))
        return value

    def _battery(self, row: ExportRow, remarks: list[Remark]) -> float | None:
        cell = self._cell(row, self._layout.battery)
        if is_empty(cell):
            return None
        value = self._conventions.percent(cell)
        if value is None and not is_missing(cell):
            note = f"sent without battery: {shown(cell)} is not a percentage"
            remarks.append(Remark(row.line, note, sent=True))
        return value


def _refuse_half_days(times: Sequence[LocalTime]) -> None:
    """Raise a TraceRefusedError for a clock of twelve hours that does not say which half of the day it is."""
    if any(not 1 <= time.local.hour <= 12 for time in times):
        return
    local = [time.local.replace(tzinfo=None) for time in times]
    steps = [(times[n + 1], after - before) for n, (before, after) in enumerate(pairwise(local))]
    backward = sum(step < timedelta(0) for _, step in steps) * 2 > len(steps)
    for time, step in steps:
        if timedelta(hours=6) <= (step if backward else -step) < timedelta(hours=12):
            raise TraceRefusedError(
                f"line {time.line}: with {time.text}, the clock goes {'forward' if backward else 'back'} by half a day, "
                "and no time is after 12:59: the times lack AM and PM. Export them with a clock of 24 hours"
            )


def _refuse_another_unit(readings: Sequence[ExportedReading], layout: ExportLayout) -> None:
    """Raise a TraceRefusedError if most temperatures are none that a probe can read: the unit is another."""
    known = [reading.temperature_c for reading in readings if reading.temperature_c is not None]
    absurd = [celsius for celsius in known if not COLDEST_C <= celsius <= WARMEST_C]
    if len(absurd) * 2 > len(known):
        raise TraceRefusedError(
            f"most temperatures of the column {layout.name(layout.temperature)} are outside what a probe can "
            f"read, such as {absurd[0]:g} °C: state the unit with --unit C, F or K"
        )


def _repeated(readings: Sequence[ExportedReading]) -> Iterator[Remark]:
    seen: dict[tuple[str, datetime], int] = {}
    for reading in readings:
        before = seen.setdefault((reading.device_id, reading.measured_at), reading.line)
        if before != reading.line:
            yield Remark(reading.line, f"has the same time as line {before}", sent=True)
