"""Progress of a command that works through many shipments or messages, shown on standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY_S: Final = 10.0


@contextlib.contextmanager
def progress(total: int, doing: str, what: str = "shipment") -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of items done; `what` is the noun for one of them.

    At a terminal it shows a bar, removed at the end; elsewhere it prints a line every ten seconds.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total, what)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{what}s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(total: int, what: str) -> Callable[[int], None]:
    printed_at = perf_counter()

    def advance(done: int) -> None:
        nonlocal printed_at
        if perf_counter() - printed_at >= _LINE_EVERY_S:
            printed_at = perf_counter()
            print(f"{done} of {count(total, what)}", file=sys.stderr)  # noqa: T201 -- this is for people

    return advance


def count(number: int, what: str) -> str:
    """Return a number with its noun: `1 shipment`, `2 shipments`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
