"""Times as loggers write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulators.exports.choices import Choices
from simulators.exports.times import parse_time

AT = datetime(2026, 11, 21, 15, 45)
LOG = Choices(device_id="LOG-1")


@pytest.mark.parametrize(
    ("text", "is_at"),
    [
        ("2026-11-21T15:45:00", AT),
        ("2026-11-21 15:45", AT),
        ("2026/11/21  15:45:00", AT),
        ("2026.11.21 15:45", AT),
        ("21.11.2026 15:45", AT),
        ("21.11.26, 15:45:00", AT),
        ("21-Nov-2026 15:45:00", AT),
        ("21 November 2026 3:45 PM", AT),
        ("Nov 21, 2026 3:45:00 p.m.", AT),
        ("2026-11-21T15:45:00.250", AT.replace(microsecond=250_000)),
        ("2026-11-21T15:45:00Z", AT.replace(tzinfo=UTC)),
        ("2026-11-21 15:45:00 UTC", AT.replace(tzinfo=UTC)),
        ("2026-11-21T15:45:00-05:30", AT.replace(tzinfo=timezone(timedelta(hours=-5.5)))),
        ("2026-11-21 15:45:00 GMT+2", AT.replace(tzinfo=timezone(timedelta(hours=2)))),
        ("1795275900", AT.replace(tzinfo=UTC)),
        ("1795275900000", AT.replace(tzinfo=UTC)),
        ("2026-11-21", AT.replace(hour=0, minute=0)),
        ("21.11.2026 12:00:00 AM", AT.replace(hour=0, minute=0)),
    ],
)
def test_times(text, is_at):
    time = parse_time(text)
    assert time is not None
    assert time.settled("month first") == is_at


@pytest.mark.parametrize(
    "text", ["", "soon", "15:45", "2026-11", "2026-11-21 15", "21 Brumaire 2026", "13:00 PM"]
)
def test_no_times(text):
    assert parse_time(text) is None


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "2026-11-21 25:00", "31.04.2026"])
def test_times_that_never_were(text):
    assert parse_time(text).settled("day first") is None


def test_day_or_month_first():
    time = parse_time("3/4/2026 08:00")
    assert time.settled("day first").month == 4
    assert time.settled("month first").month == 3
