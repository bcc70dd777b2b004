"""Bins of event time: what they contain, when they close, and that one spike does not change a level."""

import numpy as np
import pytest

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.rules.blocks.bins import bin_columns, fold_bins

WIDTH = 10
PLAN = make_plan("refrigerated", {})
assert isinstance(PLAN, Plan)


def closed(at, values):
    _, bins = fold_bins(WIDTH, (), np.array(at), [np.array(values, float)])
    return bins


def test_a_bin_is_closed_by_the_first_reading_beyond_it():
    opened, bins = fold_bins(WIDTH, (), np.array([3, 9]), [np.array([1.0, 2.0])])
    assert bins == []
    opened, bins = fold_bins(WIDTH, opened, np.array([40]), [np.array([7.0])])
    assert [(one.start, one.last_at, one.closed_at, one.columns) for one in bins] == [
        (0, 9, 40, ((2, 3.0, 1.0, 2.0),))
    ]
    assert opened == ((4, 40), (1, 7.0, 7.0, 7.0))  # what lies between has no bins


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ([5.0], 5.0),
        ([5.0, 7.0], 6.0),
        ([5.0, 988.0, 6.0], 6.0),  # without its least and its most
        ([5.0, np.nan, 7.0], 6.0),
        ([np.nan, np.nan], None),
    ],
)
def test_the_level_of_a_bin(values, level):
    at = [*range(len(values)), 50]
    assert closed(at, [*values, 0.0])[0].trimmed_mean(0) == level


def test_a_column_that_nothing_carries_has_no_level():
    _, bins = fold_bins(WIDTH, (), np.array([1, 50]), [np.array([1.0, 1.0]), None])
    assert (bins[0].trimmed_mean(0), bins[0].trimmed_mean(1)) == (1.0, None)


@pytest.mark.parametrize("absurd_c", [988.79, 85.0, -127.0])
@pytest.mark.parametrize("count", [1, 3])
def test_what_cannot_be_a_temperature_is_no_value(count, absurd_c):
    trace = Trace(
        np.arange(count), np.full(count, absurd_c), {Channel.TILT_DEG: np.arange(count, dtype=np.float64)}
    )
    celsius, tilt, ambient = bin_columns(PLAN, trace, (Channel.TILT_DEG, Channel.AMBIENT_C))
    assert celsius is not None
    assert np.isnan(celsius).all()
    assert tilt is not None
    assert tilt.tolist() == list(range(count))
    assert ambient is None
