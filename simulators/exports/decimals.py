"""Pure: numbers with a decimal comma in a file whose cells are separated by commas, too."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from simulators.exports.cells import uses_decimal_comma, uses_decimal_point
from simulators.exports.choices import TraceRefusedError
from simulators.exports.column_names import holds_whole_numbers
from simulators.exports.layout import ExportLayout, time_text
from simulators.exports.times import parse_time

_WHOLE = re.compile(r"[-+−]?\d{1,4}", re.ASCII)
_DECIMALS = re.compile(r"\d{1,4}\s?\S{0,2}", re.ASCII)


class BodyLine(NamedTuple):
    """A line below the header, with its number and its cells; `fault` is why its values cannot be read."""

    number: int
    text: str
    cells: list[str]
    fault: str | None = None


def undivided(
    body: Sequence[BodyLine], layout: ExportLayout, *, decimal_comma: bool | None
) -> list[BodyLine]:
    """Return the lines with each number in one cell.

    Raises a TraceRefusedError if a cell may be the decimals of the temperature before it, and nobody has
    stated whether it is.
    """
    if layout.delimiter != "," or decimal_comma is False:
        return list(body)
    if decimal_comma is None:
        if not _shows_its_decimals(body, layout):
            _ask(body, layout)
        return list(body)
    return [_undivided(line, layout) for line in body]


def _undivided(line: BodyLine, layout: ExportLayout) -> BodyLine:
    ways = _ways(line, layout)
    if len(ways) == 1:
        return line._replace(cells=ways[0])
    return line._replace(fault="the line does not tell which of its commas are decimal commas")


def _shows_its_decimals(body: Iterable[BodyLine], layout: ExportLayout) -> bool:
    """Whether the temperature of a reading has a decimal point, or a comma in quotes.

    A summary may be written otherwise.
    """
    return any(
        (uses_decimal_point(line.cells[c]) or uses_decimal_comma(line.cells[c]))
        and parse_time(time_text(line.cells, layout)) is not None
        for line in body
        for c in layout.temperatures
        if c < len(line.cells)
    )


def _ask(body: Iterable[BodyLine], layout: ExportLayout) -> None:
    named = _named(layout)
    for line in body:
        for c in layout.temperatures:
            doubted = _may_be_one_number(line, c) and (
                _overlong(line, layout) > 0 or c + 1 >= named or not holds_whole_numbers(layout.names[c + 1])
            )
            if doubted:
                whole, decimals = line.cells[c], line.cells[c + 1]
                raise TraceRefusedError(
                    f"line {line.number}: is '{whole},{decimals}' the number {whole}.{decimals}, "
                    f"or the number {whole} and a cell of its own? State --decimal-comma or --decimal-point"
                )


def _named(layout: ExportLayout) -> int:
    """Return how many columns there are up to the last one with a name."""
    return max((c + 1 for c, name in enumerate(layout.names) if name), default=0)


def _overlong(line: BodyLine, layout: ExportLayout) -> int:
    """Return by how many cells a line is longer than the header."""
    filled = max((c + 1 for c, cell in enumerate(line.cells) if cell), default=0)
    return max(len(line.cells) - len(layout.names), filled - _named(layout), 0)


def _may_be_one_number(line: BodyLine, column: int) -> bool:
    """Whether a cell and the next one stand there as one number with a comma would, without quotes."""
    if column + 1 >= len(line.cells):
        return False
    whole, decimals = line.cells[column], line.cells[column + 1]
    return (
        _WHOLE.fullmatch(whole) is not None
        and _DECIMALS.fullmatch(decimals) is not None
        and re.search(rf"(?:^|,)\s*{re.escape(whole)},{re.escape(decimals)}\s*(?:,|$)", line.text) is not None
    )


def _ways(line: BodyLine, layout: ExportLayout) -> list[list[str]]:
    """Return the ways to put numbers together that make a line as long as the header."""
    after = max(layout.time) + 1
    pairs = [c for c in range(after, len(line.cells)) if _may_be_one_number(line, c)]
    number = _overlong(line, layout) if layout.names else len(layout.temperatures)
    ways = [
        list(_joined(line.cells, chosen))
        for chosen in combinations(pairs[:12], number)
        if all(b - a > 1 for a, b in pairwise(chosen))
    ]
    named = _named(layout)
    doubted = any(
        c + 1 >= named or not holds_whole_numbers(layout.names[c + 1])
        for c in pairs
        if c in layout.temperatures
    )
    return [] if number == 0 and doubted else ways


def _joined(cells: Sequence[str], chosen: tuple[int, ...]) -> Iterator[str]:
    for c, cell in enumerate(cells):
        if c in chosen:
            yield f"{cell},{cells[c + 1]}"
        elif c - 1 not in chosen:
            yield cell
