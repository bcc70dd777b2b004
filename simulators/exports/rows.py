"""Pure: the lines of an export as rows with a time, and remarks about lines that have none."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from simulators.exports.cells import TemperatureUnit, parse_unit
from simulators.exports.column_names import guess_columns
from simulators.exports.decimals import BodyLine
from simulators.exports.layout import ExportLayout, split_cells, time_text
from simulators.exports.times import WrittenTime, parse_time
from simulators.exports.words import is_summary

_NUMBER_BEGINS = frozenset("0123456789-+.,")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to tell about a line; `sent` is whether the line gave a reading all the same."""

    line: int
    text: str
    sent: bool


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One line, its cells, and its time.

    `fault` is why its values cannot be read. Its time speaks for the order and the zone of the others all the same.
    """

    line: int
    cells: list[str]
    time: WrittenTime
    fault: str | None


def decode_text(content: bytes) -> str:
    """Decode a file: UTF-8, UTF-16 with or without its byte order mark, or else Windows-1252.

    NUL characters are removed.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace").replace("\0", "")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        # In the first lines, nearly every other byte is 0, and none of those between.
        head = content[:200]
        if len(head) > 8 and head[first::2].count(0) > len(head) * 0.4 and head[1 - first :: 2].count(0) == 0:
            return content.decode(encoding, errors="replace").replace("\0", "")
    try:
        return content.decode("utf-8-sig").replace("\0", "")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").replace("\0", "")


def body_of(lines: Sequence[str], layout: ExportLayout) -> list[BodyLine]:
    """Return the lines below the header that are not empty, with their numbers."""
    split = (
        BodyLine(n, line, split_cells(line, layout.delimiter))
        for n, line in enumerate(lines[layout.header :], layout.header + 1)
    )
    return [line for line in split if any(line.cells)]


def rows_of(body: Iterable[BodyLine], layout: ExportLayout, remarks: list[Remark]) -> Iterator[ExportRow]:
    """Yield the lines that have a time, and append remarks about the others."""
    table, began = 0, False
    for line, _, row, fault in body:
        if are_units(row, layout):
            continue
        text = time_text(row, layout)
        time = parse_time(text)
        if began and time is None and _is_header(row):
            table = 0 if _names_the_same(row, layout) else line
        long = _too_long(row, layout)
        why = (f"belongs to another table, which begins on line {table}" if table else None) or _too_short(
            row, layout
        )
        if time is None:
            remarks.append(Remark(line, why or long or _no_time(text), sent=False))
        elif why := why or _summary(row, layout):
            remarks.append(Remark(line, why, sent=False))
        else:
            began = True
            yield ExportRow(line, row, time, fault or long)


def _too_short(row: Sequence[str], layout: ExportLayout) -> str | None:
    needed = max(*layout.time, layout.temperature) + 1
    return f"has only {len(row)} of {needed} cells" if len(row) < needed else None


def _too_long(row: Sequence[str], layout: ExportLayout) -> str | None:
    if not layout.names or not any(row[len(layout.names) :]):
        return None
    return f"has {len(row)} cells, but the header has {len(layout.names)}: perhaps a number has a comma and no quotes"


def _no_time(text: str) -> str:
    return f"{shown(text)} is not a time" if text else "there is no time"


def _summary(row: Sequence[str], layout: ExportLayout) -> str | None:
    cell = next((cell for cell in row[: min(layout.time)] if is_summary(cell)), None)
    return None if cell is None else f"{shown(cell)} is about the whole file"


def _is_header(row: Sequence[str]) -> bool:
    """Whether a line names columns, and one of them is for the time."""
    return sum(map(bool, row)) > 1 and not any(map(_has_digit_first, row)) and bool(guess_columns(row).time)


def _has_digit_first(cell: str) -> bool:
    return cell.lstrip("+-")[:1].isdigit()


def _names_the_same(row: Sequence[str], layout: ExportLayout) -> bool:
    read = (*layout.time, *layout.temperatures)
    return all(c < len(row) and c < len(layout.names) and row[c] == layout.names[c] for c in read)


def are_units(row: Sequence[str], layout: ExportLayout) -> bool:
    """Whether a line only holds the units of the columns."""
    return layout.temperature < len(row) and unit_alone(row[layout.temperature]) is not None


def unit_alone(cell: str) -> TemperatureUnit | None:
    """Read a cell that holds only a unit, perhaps in brackets; None for anything else."""
    return None if cell[:1] in _NUMBER_BEGINS else parse_unit(cell.strip("()[]"))


def shown(text: str) -> str:
    """Return a cell in quotes, shortened to 40 characters."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
