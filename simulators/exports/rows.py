"""Pure: the lines of an export as rows with a time, and remarks about lines that have none."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from simulators.exports.cells import TemperatureUnit, parse_unit
from simulators.exports.layout import ExportLayout, split_cells
from simulators.exports.times import WrittenTime, parse_time


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to tell about a line; `sent` is whether the line gave a reading all the same."""

    line: int
    text: str
    sent: bool


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One line, its cells, and its time."""

    line: int
    cells: list[str]
    time: WrittenTime


def decode_text(content: bytes) -> str:
    """Decode a file: UTF-8, UTF-16 by its byte order mark, or else Windows-1252.

    NUL characters are removed.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace").replace("\0", "")
    try:
        return content.decode("utf-8-sig").replace("\0", "")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").replace("\0", "")


def body_of(lines: Sequence[str], layout: ExportLayout) -> list[tuple[int, list[str]]]:
    """Return the lines below the header that are not empty, with their numbers."""
    split = (
        (n, split_cells(line, layout.delimiter))
        for n, line in enumerate(lines[layout.header :], layout.header + 1)
    )
    return [(n, row) for n, row in split if any(row)]


def rows_of(
    body: Iterable[tuple[int, list[str]]], layout: ExportLayout, remarks: list[Remark]
) -> Iterator[ExportRow]:
    """Yield the lines that have a time, and append remarks about the others."""
    needed = max(*layout.time, layout.temperature) + 1
    for line, row in body:
        beyond = [cell for cell in row[len(layout.names) :] if cell] if layout.names else []
        if are_units(row, layout):
            continue
        if len(row) < needed:
            remarks.append(Remark(line, f"has only {len(row)} of {needed} cells", sent=False))
            continue
        if beyond:
            note = (
                f"has {len(row)} cells, but the header has {len(layout.names)}: "
                "perhaps a number has a comma and no quotes"
            )
            remarks.append(Remark(line, note, sent=False))
            continue
        text = " ".join(row[column] for column in layout.time).strip()
        time = parse_time(text)
        if time is None:
            remarks.append(
                Remark(
                    line, f"{shown(text)} is not a time" if text.strip() else "there is no time", sent=False
                )
            )
            continue
        yield ExportRow(line, row, time)


def are_units(row: Sequence[str], layout: ExportLayout) -> bool:
    """Whether a line only holds the units of the columns."""
    return layout.temperature < len(row) and unit_alone(row[layout.temperature]) is not None


def unit_alone(cell: str) -> TemperatureUnit | None:
    """Read a cell that holds only a unit, perhaps in brackets; None for anything else."""
    return parse_unit(cell.strip("()[]"))


def shown(text: str) -> str:
    """Return a cell in quotes, shortened to 40 characters."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
