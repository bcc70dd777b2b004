"""Pure: a CSV of a real logger, read: its readings, and of each line that is not as it should be, why."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from simulators.exports.cells import (
    TemperatureUnit,
    is_empty,
    is_missing,
    parse_number,
    to_celsius,
    uses_decimal_comma,
    uses_decimal_point,
)
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.layout import ExportLayout, find_layout
from simulators.exports.rows import (
    ExportRow,
    Remark,
    are_units,
    body_of,
    decode_text,
    rows_of,
    shown,
    unit_alone,
)
from simulators.exports.times import DateOrder, find_date_order
from simulators.exports.zones import place_in_zone
from simulators.instants import rfc3339
from simulators.wire.topics import is_device_id

COLDEST_C, WARMEST_C = -273.15, 150.0
OPTIONAL = ("temperature_c", "temperature_2_c", "ambient_c", "boot", "seq")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedReading:
    """One reading, and the line it stands on. Without a temperature the probe was not sound."""

    line: int
    device_id: str
    measured_at: datetime
    temperature_c: float | None
    temperature_2_c: float | None = None
    ambient_c: float | None = None
    boot: int | None = None
    seq: int | None = None

    def later(self, by: timedelta) -> "ExportedReading":
        return replace(self, measured_at=self.measured_at + by)

    def fields(self) -> dict[str, Any]:
        """Return what a message says of it."""
        said: dict[str, Any] = {"measured_at": rfc3339(self.measured_at)}
        if self.temperature_c is None:
            said["probe_ok"] = False
        optional = {name: getattr(self, name) for name in OPTIONAL}
        return said | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedTrace:
    """A file, read. `unit` and `order` are None where no reading needed them; `zone` where all times had their own.

    `garbled` are the loggers and instants of lines whose temperature was a number once, and cannot be read.
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
        return sum(not remark.sent for remark in self.remarks)


def read_trace(content: bytes, choices: Choices) -> ExportedTrace:
    """Read a file; what people must state first is a TraceRefusedError, what is wrong with single lines a Remark."""
    lines = re.split(r"\r\n|\n|\r", decode_text(content))
    found = find_layout(lines, choices)
    body = body_of(lines, found)
    remarks: list[Remark] = []
    rows = list(rows_of(body, found, remarks))
    reader = _TraceReader(found, choices, body, rows)
    readings = list(reader.read(rows, remarks))
    remarks += _repeated(readings)
    return ExportedTrace(
        layout=found,
        decimal_comma=reader.decimal_comma,
        unit=reader.units.get(found.temperature),
        second_unit=None if found.second is None else reader.units.get(found.second),
        order=reader.order,
        zone=reader.zone if any(row.time.zone is None for row in rows) else None,
        lines=sum(not are_units(row, found) for _, row in body),
        readings=tuple(readings),
        garbled=tuple(reader.garbled),
        remarks=tuple(sorted(remarks, key=lambda remark: remark.line)),
    )


class _TraceReader:
    """What is the same for the whole file, found out before the first reading."""

    def __init__(
        self,
        found: ExportLayout,
        choices: Choices,
        body: Sequence[tuple[int, list[str]]],
        rows: Sequence[ExportRow],
    ) -> None:
        self._found = found
        self._device_id = choices.device_id
        self.garbled: list[tuple[str, datetime]] = []
        self._columns = [c for c in (found.temperature, found.second, found.ambient) if c is not None]
        values = [row.cells[c] for row in rows for c in self._columns if c < len(row.cells)]
        self.decimal_comma = any(map(uses_decimal_comma, values)) and not any(map(uses_decimal_point, values))
        self.units = self._find_units(choices, body, rows)
        self.order = _order(rows, day_first=choices.day_first)
        self.zone = choices.zone or found.zone
        bare = next((row for row in rows if row.time.zone is None), None)
        if bare is not None and self.zone is None:
            text = " ".join(bare.cells[c] for c in found.time)
            raise TraceRefusedError(
                f"line {bare.line}: {text!r} has no time zone, and the header names none: state it with --time-zone, "
                "such as UTC, +02:00 or Europe/Zurich"
            )
        if found.device is None and self._device_id is None:
            raise TraceRefusedError("no column names the logger: state it with --device-id")

    def _find_units(
        self, choices: Choices, body: Sequence[tuple[int, list[str]]], rows: Sequence[ExportRow]
    ) -> dict[int, TemperatureUnit]:
        """Return the unit of each column: as stated, as the header says, as a line of units says, or as its cells say."""
        units: dict[int, TemperatureUnit] = {}
        below = next((row for _, row in body if are_units(row, self._found)), [])
        for column in self._columns:
            unit = choices.unit or self._found.unit(column)
            if unit is None and column < len(below):
                unit = unit_alone(below[column])
            if unit is not None:
                units[column] = unit
            elif any(self._lacks_unit(row, column) for row in rows):
                name = self._found.names[column] if column < len(self._found.names) else str(column + 1)
                raise TraceRefusedError(
                    f"nothing says in which unit the column {name!r} is: state it with --unit C, F or K"
                )
        return units

    def _lacks_unit(self, row: ExportRow, column: int) -> bool:
        read = (
            parse_number(row.cells[column], decimal_comma=self.decimal_comma)
            if column < len(row.cells)
            else None
        )
        return read is not None and read.unit is None

    def read(self, rows: Sequence[ExportRow], remarks: list[Remark]) -> Iterator[ExportedReading]:
        """Yield the readings in the order of the file."""
        local = [(row, row.time.settled(self.order or "year first")) for row in rows]
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
        self, row: ExportRow, local: datetime | None, after: datetime | None, said: list[Remark]
    ) -> ExportedReading | str:
        """Return the reading of a row, with what is to be said of it in `said`; or why there is none."""
        text = " ".join(row.cells[c] for c in self._found.time)
        if local is None:
            return f"there is no time {text}"
        at = place_in_zone(local, self.zone, after)
        if at is None:
            return f"there was no {text} in {self.zone}: the clock was put forward over it"
        device_id = self._device_id or self._cell(row, self._found.device)
        if not is_device_id(device_id):
            return f"{shown(device_id)} is not a device id: letters, digits, _ and - are allowed"
        cell = row.cells[self._found.temperature]
        temperature = self._celsius(row, self._found.temperature)
        second = self._value(row, self._found.second, "second probe", said)
        ambient = self._value(row, self._found.ambient, "ambient temperature", said)
        if temperature is None and is_empty(cell) and second is None:
            return "there is no temperature"
        if temperature is None and not is_missing(cell) and not is_empty(cell):
            if any(map(str.isdigit, cell)):  # words there are of an event, not of a measurement
                self.garbled.append((device_id, at.at))
            return f"{shown(cell)} is not a temperature"
        if at.twice:
            says = f"{text} was twice in {self.zone}; taken for {at.at:%H:%M}Z"
            said.append(Remark(row.line, says, sent=True))
        if temperature is not None and not COLDEST_C <= temperature <= WARMEST_C:
            says = f"{temperature:g} °C is outside what a probe can read; is the unit right?"
            said.append(Remark(row.line, says, sent=True))
        return ExportedReading(
            line=row.line,
            device_id=device_id,
            measured_at=at.at,
            temperature_c=temperature,
            temperature_2_c=second,
            ambient_c=ambient,
        )

    def _cell(self, row: ExportRow, column: int | None) -> str:
        return row.cells[column] if column is not None and column < len(row.cells) else ""

    def _celsius(self, row: ExportRow, column: int) -> float | None:
        read = parse_number(self._cell(row, column), decimal_comma=self.decimal_comma)
        if read is None:
            return None
        unit = read.unit or self.units.get(column)
        return None if unit is None else to_celsius(read.value, unit)

    def _value(self, row: ExportRow, column: int | None, what: str, said: list[Remark]) -> float | None:
        """Read a value that a reading can do without."""
        cell = self._cell(row, column)
        if column is None or is_empty(cell) or is_missing(cell):
            return None
        value = self._celsius(row, column)
        if value is None:
            said.append(
                Remark(row.line, f"sent without {what}: {shown(cell)} is not a temperature", sent=True)
            )
        return value


def _order(rows: Sequence[ExportRow], *, day_first: bool | None) -> DateOrder | None:
    waiting = [row for row in rows if row.time.order is None]
    if not waiting:
        return rows[0].time.order if rows else None
    if day_first is not None:
        return "day first" if day_first else "month first"
    order = find_date_order(row.time for row in waiting)
    if order is None:
        first = waiting[0]
        raise TraceRefusedError(
            f"line {first.line}: is {first.time.first}/{first.time.then}/{first.time.year} day first or month first? "
            "No date of the file tells: state --day-first or --month-first"
        )
    return order


def _repeated(readings: Sequence[ExportedReading]) -> Iterator[Remark]:
    seen: dict[tuple[str, datetime], int] = {}
    for reading in readings:
        before = seen.setdefault((reading.device_id, reading.measured_at), reading.line)
        if before != reading.line:
            yield Remark(reading.line, f"has the same time as line {before}", sent=True)
