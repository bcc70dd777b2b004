"""Steps of the database's clock are told from what passes between two looks, and from how long a look takes."""

import pytest

from alerts.work.clock import ClockSteps


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(100.0, 0.0, 0.0), (105.0, 5.0, 0.0), (110.0, 10.0, 0.0)], [None, None, None]),
        ([(100.0, 0.0, 0.0), (3705.0, 5.0, 0.0), (110.0, 10.0, 0.0)], [None, 3600.0, -3600.0]),
        (
            [(100.0, 0.0, 0.0), (105.9, 5.0, 0.0), (110.0, 10.0, 0.0)],
            [None, None, None],
        ),  # corrected slightly
        (
            [(100.0, 0.0, 0.0), (110.0, 5.0, 5.0), (110.0, 10.0, 0.0)],
            [None, None, None],
        ),  # the look took as long
        ([(100.0, 0.0, 0.0), (110.0, 5.0, 5.0), (115.0, 10.0, 0.0)], [None, None, 5.0]),  # and one after that
    ],
)
def test_a_step_is_told_once(looks: list[tuple[float, float, float]], expected: list[float | None]) -> None:
    steps = ClockSteps()
    assert [steps.see(*look) for look in looks] == expected


def test_it_is_as_it_was_once_it_is_set_back_to_that() -> None:
    steps = ClockSteps()
    looks = [
        (100.0, 0.0, 0.0, True),
        (105.2, 5.0, 0.0, True),  # as time servers correct it
        (3710.0, 10.0, 0.0, False),
        (3715.0, 15.0, 3.0, False),
        (120.0, 20.0, 0.0, True),
        (125.0, 25.0, 3.0, False),  # nobody knows
        (-3470.0, 30.0, 0.0, False),
        (-3465.0, 35.0, 0.0, False),
        (140.0, 40.0, 0.0, True),
    ]
    for clock_s, steady_s, doubt_s, expected in looks:
        assert steps.is_as_it_was(clock_s, steady_s, doubt_s) is expected, clock_s
