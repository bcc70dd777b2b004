"""Reads the pages of the documentation: their fenced blocks and their tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
    if "node_modules" not in path.parts
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    """Its path from the root, such as `docs/api.md`."""
    line: int
    """The line of its first line, from 1."""
    language: str
    """Empty for a figure, which is not to be typed and not printed by anything."""
    text: str

    @property
    def begins(self) -> str:
        """Its first line, by which lists name it."""
        return self.text.split("\n", 1)[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks_of(page: str, heading: str | None = None) -> list[Block]:
    """All fenced blocks of a page, in its order; or those of one of its sections."""
    text = (ROOT / page).read_text()
    begins = 0 if heading is None else text.index(f"\n## {heading}\n")
    ends = len(text) if heading is None else text.find("\n## ", begins + 1)
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        if begins <= found.start() < (ends if ends > 0 else len(text))
    ]


def all_blocks() -> Iterator[Block]:
    """Those of all pages, page by page."""
    for path in PAGES:
        yield from blocks_of(name_of(path))


def rows(text: str) -> list[list[str]]:
    """The tables of a page, cell by cell; a bar within a cell is written as `\\|`."""
    found = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        for line in found
    ]


def table(text: str, *heading: str) -> list[list[str]]:
    """The rows of the table of a page that has this heading."""
    line = f"| {' | '.join(heading)} |\n".replace("|  |", "| |")
    of_table = text.split(line, 1)[1].split("\n\n", 1)[0]
    return rows(of_table)
