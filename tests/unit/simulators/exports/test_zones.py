"""Time zones, and the nights in which clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from simulators.exports.choices import Choices
from simulators.exports.zones import parse_zone, place_in_zone

AT = datetime(2026, 11, 21, 15, 45)
LOG = Choices(device_id="LOG-1")


def test_hours_that_the_clock_has_twice_or_not_at_all():
    zurich = ZoneInfo("Europe/Zurich")
    twice, never = datetime(2026, 10, 25, 2, 30), datetime(2026, 3, 29, 2, 30)
    first = place_in_zone(twice, zurich, None)
    assert (first.at, first.twice) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True)
    after = datetime(2026, 10, 25, 0, 40, tzinfo=UTC)
    assert place_in_zone(twice, zurich, after).at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert place_in_zone(twice, zurich, first.at) == first
    assert place_in_zone(never, zurich, None) is None


@pytest.mark.parametrize(
    ("text", "offset_h"), [("+02:00", 2), ("GMT-0530", -5.5), ("utc", 0), ("Z", 0), ("+2", 2)]
)
def test_offsets(text, offset_h):
    assert parse_zone(text).utcoffset(None) == timedelta(hours=offset_h)


@pytest.mark.parametrize("text", ["Europe/Zurich", "+15:00", "+02:75", "2", ""])
def test_no_offsets(text):
    assert parse_zone(text) is None
