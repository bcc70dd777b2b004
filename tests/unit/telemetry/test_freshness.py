"""How old a reading may be: by the logger's interval within bounds, or by the fallback."""

from math import inf

import pytest

from telemetry.freshness import fresh_for


@pytest.mark.parametrize(
    ("interval", "intervals", "at_least", "at_most", "expected"),
    [
        (60, 3, 0, inf, 180),
        (60, 3, 1800, inf, 1800),
        (900, 3, 1800, inf, 2700),
        (900, 3, 0, 900, 900),
        (60, 3, 0, 900, 180),
        (None, 3, 0, inf, 7),  # not registered
        (60, 0, 0, inf, 7),  # not asked for
        (0, 3, 0, inf, 7),
        (None, 3, 1800, 60, 7),  # what holds otherwise is not bounded
        (0.5, 2.5, 0, inf, 1.25),
    ],
)
def test_how_old_a_reading_may_be(
    interval: float | None, intervals: float, at_least: float, at_most: float, expected: float
) -> None:
    found = fresh_for(interval, intervals, otherwise=7, at_least=at_least, at_most=at_most)
    assert found == expected
