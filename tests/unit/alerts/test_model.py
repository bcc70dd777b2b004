from datetime import UTC, datetime, timedelta, timezone

import pytest

from alerts.model import to_datetime, to_instant


@pytest.mark.parametrize(
    "time",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 11, 21, 3, 45, 0, 123_457, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_times_survive_to_the_microsecond(time):
    assert to_datetime(to_instant(time)) == time


def test_the_zone_makes_no_difference():
    time = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
    assert to_instant(time.astimezone(timezone(timedelta(hours=9)))) == to_instant(time)


def test_a_time_without_a_zone_is_no_instant():
    with pytest.raises(TypeError):
        to_instant(datetime(2026, 11, 21))
