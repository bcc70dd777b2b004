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
