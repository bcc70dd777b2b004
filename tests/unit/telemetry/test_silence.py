"""Until when a logger counts as heard: by a fresh reading, and by an announced silence within the caller's limits."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.silence import announced_until, heard_until

SEEN, FRESH = 1000, 100


@pytest.mark.parametrize(
    ("announced", "longest", "landing", "expected"),
    [
        (None, None, None, SEEN + FRESH),
        (None, 500, 50, SEEN + FRESH),
        (SEEN + 300, None, None, SEEN + 300),
        (SEEN + 300, None, 50, SEEN + 350),
        (SEEN + 300, 200, None, SEEN + 200),
        (SEEN + 300, 200, 50, SEEN + 250),
        (SEEN + 300, 40, 50, SEEN + FRESH),  # it never shortens how long the reading is fresh
        (SEEN + 1, None, 50, SEEN + FRESH),
        (SEEN, None, 500, SEEN + FRESH),  # over when it was announced: nothing is granted
        (SEEN - 5, None, 500, SEEN + FRESH),
    ],
)
def test_until_when_a_logger_is_not_missed(
    announced: int | None, longest: int | None, landing: int | None, expected: int
) -> None:
    assert heard_until(SEEN, FRESH, announced, longest=longest, landing=landing) == expected


def test_what_a_reading_excuses_by_itself() -> None:
    assert announced_until(SEEN, None) is None
    assert announced_until(SEEN, SEEN) is None
    assert announced_until(SEEN, SEEN + 1, landing=50) == SEEN + 51


def test_times_serve_as_well_as_integers() -> None:
    seen, hour = datetime(2026, 11, 21, 3, tzinfo=UTC), timedelta(hours=1)
    assert heard_until(seen, hour, seen + 5 * hour, longest=3 * hour, landing=hour) == seen + 4 * hour
