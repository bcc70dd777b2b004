"""The result of a benchmark, and its output: lines for people, JSON for programs."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


class BenchError(Exception):
    """A benchmark could not be completed; the text says why."""


def progress(line: str) -> None:
    """Print a line of progress on standard error, apart from the results on standard output."""
    print(f"  {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One quantity, measured in several runs."""

    what: str
    unit: str
    runs: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.runs)

    def __str__(self) -> str:
        runs = f"   ({', '.join(map(_number, self.runs))})" if len(self.runs) > 1 else ""
        return f"{self.what:<62} {_number(self.median):>9} {self.unit}{runs}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A figure with its target, which it must reach or must not exceed."""

    what: str
    value: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        bound = "at most" if self.at_most else "at least"
        word = "met" if self.met else "MISSED"
        return f"{self.what:<62} {self.value:>9.2f} {bound} {self.target:g}: {word}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one benchmark."""

    title: str
    measures: Sequence[Measure]
    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = ()

    def lines(self) -> Iterator[str]:
        yield self.title
        yield from (f"  {line}" for line in (*self.measures, *self.verdicts, *self.notes))

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "measures": [{**asdict(measure), "median": measure.median} for measure in self.measures],
            "verdicts": [{**asdict(verdict), "met": verdict.met} for verdict in self.verdicts],
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` % of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
