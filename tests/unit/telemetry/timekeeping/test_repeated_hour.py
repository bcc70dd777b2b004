"""An hour that a logger measured twice, told from conflicts that have another cause."""

from collections.abc import Sequence

import pytest

from telemetry.timekeeping.repeated_hour import HOUR_US, repeats_an_hour

MINUTE = HOUR_US // 60
START = 20_000 * 24 * HOUR_US


def grid(every_min: int, *steps: int) -> list[int]:
    return [START + step * every_min * MINUTE for step in steps]


@pytest.mark.parametrize(
    ("instants", "every_min", "is_one"),
    [
        (grid(5, *range(12)), 5, True),
        (grid(5, *range(12)), None, True),
        (grid(1, *range(60)), 1, True),
        (
            grid(5, *(n for n in range(12) if n not in {3, 7})),
            5,
            True,
        ),  # the second hour had the same value there
        (grid(5, *range(6)), 5, False),
        (grid(5, *range(24)), 5, False),
        ([*grid(5, *range(11)), START + 57 * MINUTE], 5, False),
        (grid(60, 0), 60, False),
        (grid(5, 0), 5, False),
        (grid(90, 0, 1), 90, False),
        ([], 5, False),
    ],
)
def test_a_whole_hour_on_the_grid(instants: Sequence[int], every_min: int | None, is_one: bool) -> None:
    assert repeats_an_hour(instants, None if every_min is None else every_min * MINUTE) is is_one


@pytest.mark.parametrize(("late_min", "is_one"), [(60, True), (62, True), (1, False), (600, False)])
def test_a_single_reading_is_an_hour_if_it_came_an_hour_late(late_min: int, is_one: bool) -> None:
    assert repeats_an_hour(grid(60, 0), HOUR_US, late_min * MINUTE) is is_one
