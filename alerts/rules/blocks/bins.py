"""Pure: folds readings into bins of event time, so that forecasts are made once per bin, not per reading.

A bin is an interval `n * width <= at < (n + 1) * width`; the first reading beyond it closes it. Each column
keeps its number of values, their sum, the least and the greatest. Both forms below sum strictly in order of
time, so that the state does not depend, to the last bit, on how readings were cut into calls.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.disowned import are_disowned, disowned_values
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import COLDEST_C, HOTTEST_C, Duration, Instant

Column: TypeAlias = NDArray[np.float64]
ColumnSums: TypeAlias = tuple[float, ...]
"""One column of one bin: the number of values, their sum, the least, the greatest."""
OpenBin: TypeAlias = tuple[ColumnSums, ...]
"""The bin that is still open, as a field of a state: (number of the bin, instant of its newest reading), then
a `ColumnSums` per column. Empty before the first reading."""

_NO_VALUES: ColumnSums = (0, 0.0, 0.0, 0.0)


class Bin(NamedTuple):
    """A closed bin: its start, its newest reading, the reading that closed it, and its columns."""

    start: Instant
    last_at: Instant
    closed_at: Instant
    columns: tuple[ColumnSums, ...]

    def trimmed_mean(self, column: int) -> float | None:
        """Return a column's mean, without the extremes if it has three values: one spike is ignored."""
        count, total, least, most = self.columns[column]
        if count >= 3:
            return (total - least - most) / (count - 2)
        return total / count if count else None


def bin_columns(plan: Plan, trace: Trace, channels: Sequence[Channel]) -> list[Column | None]:
    """Return the payload's temperature, NaN where it cannot be one, and then these channels."""
    celsius = trace.celsius
    if len(celsius) > 1:
        good = (celsius >= COLDEST_C) & (celsius <= HOTTEST_C) & ~are_disowned(plan, celsius)
        celsius = np.where(good, celsius, np.nan)
    elif len(celsius) and (not COLDEST_C <= celsius[0] <= HOTTEST_C or celsius[0] in disowned_values(plan)):
        celsius = np.array([np.nan])
    return [celsius, *(trace.channels.get(channel) for channel in channels)]


def fold_bins(
    width: Duration, open_bin: OpenBin, at: NDArray[np.int64], columns: Sequence[Column | None]
) -> tuple[OpenBin, list[Bin]]:
    """Fold readings in order of time into the open bin; return it and the bins closed on the way, oldest first.

    Columns are as long as `at`, or None if no reading carries them. NaN is no value.
    """
    if len(at) == 1:
        return _fold_reading(
            width, open_bin, int(at[0]), [None if c is None else float(c[0]) for c in columns]
        )
    if not len(at):
        return open_bin, []
    numbers = at // width
    begins = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1))
    goes_on = bool(open_bin) and int(open_bin[0][0]) == int(numbers[0])
    closed = [_close(width, open_bin, int(at[0]))] if open_bin and not goes_on else []
    group = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(at))))
    before = open_bin[1:] if goes_on else (_NO_VALUES,) * len(columns)
    each = [_column_sums(values, begins, group, sums) for values, sums in zip(columns, before, strict=True)]
    last_at = at[np.append(begins[1:], len(at)) - 1].tolist()
    bins: list[OpenBin] = [
        ((number, last), *sums)
        for number, last, *sums in zip(numbers[begins].tolist(), last_at, *each, strict=True)
    ]
    closings = at[begins[1:]].tolist()
    return bins[-1], [*closed, *(_close(width, done, at) for done, at in zip(bins, closings, strict=False))]


def _fold_reading(
    width: Duration, open_bin: OpenBin, at: Instant, values: Sequence[float | None]
) -> tuple[OpenBin, list[Bin]]:
    number = at // width
    if open_bin and open_bin[0][0] == number:
        return ((number, at), *map(_add_value, open_bin[1:], values)), []
    fresh = ((number, at), *(_add_value(_NO_VALUES, value) for value in values))
    return fresh, [_close(width, open_bin, at)] if open_bin else []


def _add_value(sums: ColumnSums, value: float | None) -> ColumnSums:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return sums
    count, total, least, most = sums
    if not count:
        return (1, value, value, value)
    return (
        count + 1,
        total + value,
        value if value < least else least,  # noqa: FURB136 - half the time of min()
        value if value > most else most,  # noqa: FURB136
    )


def _close(width: Duration, open_bin: OpenBin, closed_at: Instant) -> Bin:
    number, last_at = open_bin[0]
    return Bin(int(number) * width, int(last_at), closed_at, open_bin[1:])


def _column_sums(
    values: Column | None, begins: NDArray[np.intp], group: NDArray[np.intp], before: ColumnSums
) -> list[ColumnSums]:
    """Sum a column bin by bin; `before` is what the first bin already holds."""
    bins = len(begins)
    if values is None:
        return [before, *([_NO_VALUES] * (bins - 1))]
    there = ~np.isnan(values)
    # bincount adds in order, so the sum so far goes first.
    weights, groups = np.append(before[1], values[there]), np.append(0, group[there])
    counts = np.bincount(groups, minlength=bins)
    totals = np.bincount(groups, weights=weights, minlength=bins)
    least, most = np.fmin.reduceat(values, begins), np.fmax.reduceat(values, begins)
    counts[0] += int(before[0]) - 1
    if before[0]:
        least[0], most[0] = np.fmin(least[0], before[2]), np.fmax(most[0], before[3])
    return [
        (count, total, low, high) if count else _NO_VALUES
        for count, total, low, high in zip(
            counts.tolist(), totals.tolist(), least.tolist(), most.tolist(), strict=True
        )
    ]
