"""Pure: the lines of a logger's export as rows with a time, and what is wrong with those that have none."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from simulators.exports.cells import TemperatureUnit, parse_unit
from simulators.exports.layout import ExportLayout, split_cells
from simulators.exports.times import WrittenTime, parse_time


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be said of a line; `sent` is whether it gave a reading all the same."""

    line: int
    says: str
    sent: bool


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One line with its cells and its time."""

    line: int
    cells: list[str]
    time: WrittenTime


def decode_text(content: bytes) -> str:
    """Decode a file: UTF-8, UTF-16 by its mark, else Windows-1252; NULs are left out."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace").replace("\0", "")
    try:
        return content.decode("utf-8-sig").replace("\0", "")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").replace("\0", "")


def body_of(lines: Sequence[str], found: ExportLayout) -> list[tuple[int, list[str]]]:
    """Return the lines below the header that have anything in them, with their numbers."""
    split = (
        (n, split_cells(line, found.delimiter))
        for n, line in enumerate(lines[found.header :], found.header + 1)
    )
    return [(n, row) for n, row in split if any(row)]


def rows_of(
    body: Iterable[tuple[int, list[str]]], found: ExportLayout, remarks: list[Remark]
) -> Iterator[ExportRow]:
    """Yield the lines that have a time."""
    needed = max(*found.time, found.temperature) + 1
    for line, row in body:
        beyond = [cell for cell in row[len(found.names) :] if cell] if found.names else []
        if are_units(row, found):
            continue
        if len(row) < needed:
            remarks.append(Remark(line, f"has {len(row)} cells, {needed} are needed", sent=False))
            continue
        if beyond:
            says = f"has {len(row)} cells, the header {len(found.names)}: perhaps a comma in a number, without quotes"
            remarks.append(Remark(line, says, sent=False))
            continue
        text = " ".join(row[column] for column in found.time).strip()
        time = parse_time(text)
        if time is None:
            remarks.append(
                Remark(
                    line, f"{shown(text)} is not a time" if text.strip() else "there is no time", sent=False
                )
            )
            continue
        yield ExportRow(line, row, time)


def are_units(row: Sequence[str], found: ExportLayout) -> bool:
    """Whether a line only says the units of the columns."""
    return found.temperature < len(row) and unit_alone(row[found.temperature]) is not None


def unit_alone(cell: str) -> TemperatureUnit | None:
    """Read a cell that is nothing but a unit, perhaps in brackets."""
    return parse_unit(cell.strip("()[]"))


def shown(text: str) -> str:
    """Print a cell, short."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
