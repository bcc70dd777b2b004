"""Pure: the CSV of a real logger as readings, with remarks about every line that is not in order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from simulators.exports.cells import TemperatureUnit, is_empty, is_missing
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.conventions import Conventions, find_conventions
from simulators.exports.layout import ExportLayout, find_layout
from simulators.exports.reading import ExportedReading
from simulators.exports.rows import ExportRow, Remark, are_units, body_of, decode_text, rows_of, shown
from simulators.exports.times import DateOrder
from simulators.exports.zones import place_in_zone
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


def read_trace(content: bytes, choices: Choices) -> ExportedTrace:
    """Read a file. Mistakes in single lines become remarks.

    Raises a TraceRefusedError for what people must state first.
    """
    lines = re.split(r"\r\n|\n|\r", decode_text(content))
    layout = find_layout(lines, choices)
    body = body_of(lines, layout)
    remarks: list[Remark] = []
    rows = list(rows_of(body, layout, remarks))
    conventions = find_conventions(layout, choices, body, rows)
    if layout.device is None and choices.device_id is None:
        raise TraceRefusedError("no column names the logger: state it with --device-id")
    reader = _RowReader(layout, conventions, choices.device_id)
    readings = list(reader.read(rows, remarks))
    remarks += _repeated(readings)
    return ExportedTrace(
        layout=layout,
        decimal_comma=conventions.decimal_comma,
        unit=conventions.units.get(layout.temperature),
        second_unit=None if layout.second is None else conventions.units.get(layout.second),
        order=conventions.order,
        zone=conventions.zone if any(row.time.zone is None for row in rows) else None,
        lines=sum(not are_units(row, layout) for _, row in body),
        readings=tuple(readings),
        garbled=tuple(reader.garbled),
        remarks=tuple(sorted(remarks, key=lambda remark: remark.line)),
    )


class _RowReader:
    """Turns rows into readings, and collects those that are garbled."""

    def __init__(self, layout: ExportLayout, conventions: Conventions, device_id: str | None) -> None:
        self.garbled: list[tuple[str, datetime]] = []
        self._layout = layout
        self._conventions = conventions
        self._device_id = device_id

    def read(self, rows: Sequence[ExportRow], remarks: list[Remark]) -> Iterator[ExportedReading]:
        """Yield the readings in the order of the file."""
        local = [(row, row.time.settled(self._conventions.order or "year first")) for row in rows]
        known = [time.replace(tzinfo=None) for _, time in local if time is not None]
        newest_first = len(known) > 1 and known[0] > known[-1]
        after: datetime | None = None
        read: list[ExportedReading] = []
        for row, time in reversed(local) if newest_first else local:
            said: list[Remark] = []
            reading = self._reading(row, time, after, said)
            if isinstance(reading, str):
                remarks.append(Remark(row.line, reading, sent=False))
                continue
            remarks += said
            after = reading.measured_at
            read.append(reading)
        yield from reversed(read) if newest_first else read

    def _reading(
        self, row: ExportRow, local: datetime | None, after: datetime | None, remarks: list[Remark]
    ) -> ExportedReading | str:
        """Return the reading of a row, or the reason why there is none; remarks about it go to `remarks`."""
        layout, zone = self._layout, self._conventions.zone
        text = " ".join(row.cells[c] for c in layout.time)
        if local is None:
            return f"{text} is not a valid time"
        at = place_in_zone(local, zone, after)
        if at is None:
            return f"{text} does not exist in {zone}: the clocks were put forward over it"
        device_id = self._device_id or self._cell(row, layout.device)
        if not is_device_id(device_id):
            return f"{shown(device_id)} is not a device id: letters, digits, _ and - are allowed"
        cell = row.cells[layout.temperature]
        temperature = self._conventions.celsius(cell, layout.temperature)
        second = self._celsius(row, layout.second, "second probe", remarks)
        ambient = self._celsius(row, layout.ambient, "ambient temperature", remarks)
        battery = self._battery(row, remarks)
        if temperature is None and is_empty(cell) and second is None:
            return "there is no temperature"
        if temperature is None and not is_missing(cell) and not is_empty(cell):
            if any(map(str.isdigit, cell)):  # text without a digit is about an event, not a measurement
                self.garbled.append((device_id, at.at))
            return f"{shown(cell)} is not a temperature"
        if at.twice:
            note = f"{text} occurs twice in {zone}; taken as {at.at:%H:%M}Z"
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

    def _cell(self, row: ExportRow, column: int | None) -> str:
        return row.cells[column] if column is not None and column < len(row.cells) else ""

    def _celsius(self, row: ExportRow, column: int | None, what: str, remarks: list[Remark]) -> float | None:
        """Read a temperature that a reading can do without."""
        cell = self._cell(row, column)
        if column is None or is_empty(cell) or is_missing(cell):
            return None
        value = self._conventions.celsius(cell, column)
        if value is None:
            note = f"sent without {what}: {shown(cell)} is not a temperature"
            remarks.append(Remark(row.line, note, sent=True))
        return value

    def _battery(self, row: ExportRow, remarks: list[Remark]) -> float | None:
        cell = self._cell(row, self._layout.battery)
        if is_empty(cell) or is_missing(cell):
            return None
        value = self._conventions.percent(cell)
        if value is None:
            note = f"sent without battery: {shown(cell)} is not a percentage"
            remarks.append(Remark(row.line, note, sent=True))
        return value


def _repeated(readings: Sequence[ExportedReading]) -> Iterator[Remark]:
    seen: dict[tuple[str, datetime], int] = {}
    for reading in readings:
        before = seen.setdefault((reading.device_id, reading.measured_at), reading.line)
        if before != reading.line:
            yield Remark(reading.line, f"has the same time as line {before}", sent=True)
