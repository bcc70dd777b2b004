"""Pure: folds one probe's readings by columns, with the result of probe.py in a fraction of the time."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.rules.blocks.probe import (
    MAX_SAME_IN_TRIPLE,
    MIN_STEP_C,
    NO_INSTANT,
    NOISY,
    SAME,
    SELDOM_CHANGING,
    SHIFT_C,
    UNKNOWN_C,
    ProbeChecks,
    ProbeState,
    fold_probe_reading,
)

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


def fold_probe_columns(
    checks: ProbeChecks, probe: ProbeState, at: Instants, values: Floats, air: Floats | None
) -> ProbeState:
    """Fold in values in order of time, NaN for a broken probe; how they are cut changes nothing."""
    if len(values) == 1:
        return fold_probe_reading(
            checks, probe, int(at[0]), float(values[0]), UNKNOWN_C if air is None else float(air[0])
        )
    air = np.full(len(values), UNKNOWN_C) if air is None else np.where(np.isnan(air), UNKNOWN_C, air)
    good = (values >= checks.coolant.coldest_c) & (values <= checks.hottest_c)
    for value in checks.disowned:
        good &= values != value
    counts = _count_columns(checks, probe, at, values, good)
    odd = np.append(np.flatnonzero(~good | _may_change_symptoms(checks, values, air, counts)), len(values))
    place = 0
    while place < len(values):
        if probe.has_no_symptom and (turn := int(odd[np.searchsorted(odd, place)])) > place:
            probe = _counted_up_to(probe, turn - 1, at, values, air, counts)
            place = turn
        else:
            probe = fold_probe_reading(checks, probe, int(at[place]), float(values[place]), float(air[place]))
            place += 1
    return probe


class _CountColumns(NamedTuple):
    """What `fold_probe_reading` would count up to each plausible reading: columns over these.

    `last` has for each of all readings the number of the newest plausible one, -1 for none.
    """

    change: Floats
    before: Floats
    least_step_c: Floats
    triples: Integers
    swings: Integers
    since: Integers
    same_count: Integers
    last: Integers


def _count_columns(
    checks: ProbeChecks, probe: ProbeState, at: Instants, values: Floats, good: Bools
) -> _CountColumns:
    """Count in columns as `fold_probe_reading` does."""
    last = np.cumsum(good) - 1
    at, values = at[good], values[good]
    known = probe.at != NO_INSTANT
    change = np.diff(values, prepend=probe.c if known else np.nan)
    before = np.concatenate(
        ([probe.c - probe.c_before if probe.at_before != NO_INSTANT else np.nan], change)
    )[:-1]
    moved = np.where(np.isnan(change) | (change == 0), UNKNOWN_C, np.maximum(np.abs(change), MIN_STEP_C))
    step = np.minimum(np.minimum.accumulate(moved), probe.least_step_c) if len(moved) else moved
    places = np.arange(len(values))
    first = np.maximum.accumulate(np.where(change == 0, -1, places)) if len(values) else places
    same = np.where(first < 0, probe.same_count + places + 1, places - first + 1)
    since = np.where(first < 0, probe.same_since, at[np.maximum(first, 0)])
    triple = ~np.isnan(before) & ~np.isnan(change) & (same <= MAX_SAME_IN_TRIPLE)
    size = np.maximum(np.abs(before), np.abs(change))
    swing = triple & (before * change < 0) & (1.9 * step <= size) & (size <= checks.coolant.floor_c)
    triples, swings = probe.triples + np.cumsum(triple), probe.swings + np.cumsum(swing)
    return _CountColumns(
        change, np.where(np.isnan(before), 0.0, before), step, triples, swings, since, same, last
    )


def _counted_up_to(
    probe: ProbeState, place: int, at: Instants, values: Floats, air: Floats, counts: _CountColumns
) -> ProbeState:
    """Return the state after readings that only count, up to the one at `place`."""
    of = int(counts.last[place])
    at_before, c_before = probe.at, probe.c
    if place and counts.last[place - 1] == of - 1 and of > 0:
        earlier = int(np.searchsorted(counts.last, of - 1))
        at_before, c_before = int(at[earlier]), float(values[earlier])
    return ProbeState._make(
        (
            *probe[:SELDOM_CHANGING],
            int(at[place]),
            float(values[place]),
            float(air[place]),
            at_before,
            c_before,
            float(counts.before[of]),
            float(counts.least_step_c[of]),
            int(counts.triples[of]),
            int(counts.swings[of]),
            int(counts.since[of]),
            int(counts.same_count[of]),
        )
    )


def _may_change_symptoms(checks: ProbeChecks, values: Floats, air: Floats, counts: _CountColumns) -> Bools:
    """Return which readings may change more than counts; too many is harmless, too few is not."""
    odd = np.abs(values - air) <= checks.near_c
    jumps = (np.abs(counts.change) > checks.coolant.floor_c) | (counts.change >= SHIFT_C)
    stuck = counts.same_count >= SAME
    if jumps.any() or stuck.any():
        stuck &= (counts.swings >= NOISY * counts.triples) & (counts.swings > 0)
        where = np.searchsorted(counts.last, np.flatnonzero(jumps | stuck))
        odd[where] = True
    return odd
