"""Readings as columns."""

import math

from alerts.excursions.trace import EMPTY, Trace

SAMPLES = [(1, -190.0), (5, None), (9, -140.0)]


def test_a_trace_gives_back_its_samples() -> None:
    first, (broken_at, broken_c), last = Trace.of(SAMPLES).samples()
    assert (first, last) == ((1, -190.0), (9, -140.0))
    assert broken_at == 5
    assert math.isnan(broken_c)


def test_the_part_within_is_half_open() -> None:
    trace = Trace.of(SAMPLES)
    cases = [
        ((1, 9), [1, 5]),
        ((2, None), [5, 9]),
        ((0, 1), []),
        ((9, 9), []),
        ((1, None), [1, 5, 9]),
        ((7, 3), []),
    ]
    for (start, end), instants in cases:
        assert trace.within(start, end).at.tolist() == instants, (start, end)


def test_an_empty_trace_is_one() -> None:
    assert len(EMPTY) == 0
    assert list(EMPTY.samples()) == []
    assert len(EMPTY.within(0, None)) == 0
