"""Pure: folds one probe's readings by columns, with the result of probe.py in a fraction of the time."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.rules.blocks.probe import (
    CHANGES,
    COUNTED_SAME,
    LEAST_STEP_C,
    NEVER,
    NOISY,
    SAME,
    SHIFT_C,
    UNKNOWN_C,
    Doubt,
    Probe,
    take,
)

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


def follow(doubt: Doubt, probe: Probe, at: Instants, values: Floats, air: Floats | None) -> Probe:
    """Fold in values in order of time, NaN for a broken probe; how they are cut changes nothing."""
    if len(values) == 1:
        return take(doubt, probe, int(at[0]), float(values[0]), UNKNOWN_C if air is None else float(air[0]))
    around = np.full(len(values), UNKNOWN_C) if air is None else np.where(np.isnan(air), UNKNOWN_C, air)
    good = (values >= doubt.medium.coldest_c) & (values <= doubt.hottest_c)
    counts = _counts(doubt, probe, at, values, good)
    odd = np.append(np.flatnonzero(~good | _remarkable(doubt, values, around, counts)), len(values))
    place = 0
    while place < len(values):
        if probe.calm and (turn := int(odd[np.searchsorted(odd, place)])) > place:
            probe = _count(probe, turn - 1, at, values, around, counts)
            place = turn
        else:
            probe = take(doubt, probe, int(at[place]), float(values[place]), float(around[place]))
            place += 1
    return probe


class _Counts(NamedTuple):
    """What `fold_probe_reading` would count up to each plausible reading: columns over these.

    `last` has for each of all readings the number of the newest plausible one, -1 for none.
    """

    change: Floats
    before: Floats
    step: Floats
    triples: Integers
    swings: Integers
    since: Integers
    same: Integers
    last: Integers


def _counts(doubt: Doubt, probe: Probe, at: Instants, values: Floats, good: Bools) -> _Counts:
    """Count in columns as `fold_probe_reading` does."""
    last = np.cumsum(good) - 1
    at, values = at[good], values[good]
    known = probe.at != NEVER
    change = np.diff(values, prepend=probe.c if known else np.nan)
    before = np.concatenate(([probe.c - probe.c_before if probe.at_before != NEVER else np.nan], change))[:-1]
    moved = np.where(np.isnan(change) | (change == 0), UNKNOWN_C, np.maximum(np.abs(change), LEAST_STEP_C))
    step = np.minimum(np.minimum.accumulate(moved), probe.step) if len(moved) else moved
    places = np.arange(len(values))
    first = np.maximum.accumulate(np.where(change == 0, -1, places)) if len(values) else places
    same = np.where(first < 0, probe.same + places + 1, places - first + 1)
    since = np.where(first < 0, probe.same_since, at[np.maximum(first, 0)])
    triple = ~np.isnan(before) & ~np.isnan(change) & (same <= COUNTED_SAME)
    size = np.maximum(np.abs(before), np.abs(change))
    swing = triple & (before * change < 0) & (1.9 * step <= size) & (size <= doubt.medium.floor_c)
    triples, swings = probe.triples + np.cumsum(triple), probe.swings + np.cumsum(swing)
    return _Counts(change, np.where(np.isnan(before), 0.0, before), step, triples, swings, since, same, last)


def _count(probe: Probe, place: int, at: Instants, values: Floats, around: Floats, counts: _Counts) -> Probe:
    """Return the state after readings that only count, up to the one at `place`."""
    of = int(counts.last[place])
    at_before, c_before = probe.at, probe.c
    if place and counts.last[place - 1] == of - 1 and of > 0:
        earlier = int(np.searchsorted(counts.last, of - 1))
        at_before, c_before = int(at[earlier]), float(values[earlier])
    return Probe._make(
        (
            *probe[:CHANGES],
            int(at[place]),
            float(values[place]),
            float(around[place]),
            at_before,
            c_before,
            float(counts.before[of]),
            float(counts.step[of]),
            int(counts.triples[of]),
            int(counts.swings[of]),
            int(counts.since[of]),
            int(counts.same[of]),
        )
    )


def _remarkable(doubt: Doubt, values: Floats, around: Floats, counts: _Counts) -> Bools:
    """Return which readings may change more than counts; too many is harmless, too few is not."""
    odd = np.abs(values - around) <= doubt.near_c
    jumps = (np.abs(counts.change) > doubt.medium.floor_c) | (counts.change >= SHIFT_C)
    stuck = counts.same >= SAME
    if jumps.any() or stuck.any():
        stuck &= (counts.swings >= NOISY * counts.triples) & (counts.swings > 0)
        where = np.searchsorted(counts.last, np.flatnonzero(jumps | stuck))
        odd[where] = True
    return odd
