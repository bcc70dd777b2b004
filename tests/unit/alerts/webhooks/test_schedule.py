from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from alerts.webhooks.schedule import LONGEST_RETRY_AFTER_S, SCHEDULE, TRIPS_AT, hold_s, retry_after_s

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def test_the_schedule_is_that_of_the_contract() -> None:
    assert SCHEDULE.delays_s[:10] == (0, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
    assert set(SCHEDULE.delays_s[10:]) == {3600}
    hours = sum(SCHEDULE.delays_s) / 3600
    assert 71 < hours <= 72


def test_after_the_last_try_there_is_none() -> None:
    tries = len(SCHEDULE.delays_s)
    assert SCHEDULE.delay_s(tries - 1, 0.5) == 3600
    assert SCHEDULE.delay_s(tries, 0.5) is None


@pytest.mark.parametrize(("chance", "delay_s"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0)])
def test_a_delay_is_spread_by_a_fifth(chance: float, delay_s: float) -> None:
    assert SCHEDULE.delay_s(1, chance) == pytest.approx(delay_s)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999999999999999", LONGEST_RETRY_AFTER_S),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Sat, 21 Nov 2026 08:00:30 -0000", 30.0),
        ("Sat, 21 Nov 99999999999999999999 08:00:30 GMT", None),
        ("Sat, 21 Nov 2026 08:00:30 +99999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@pytest.mark.parametrize(
    ("failures", "failing_for_s", "held_s"),
    [
        (TRIPS_AT - 1, 3600.0, 0.0),
        (TRIPS_AT, 0.0, 0.5),
        (1000, 0.0, 0.5),
        (TRIPS_AT, 100.0, 10.0),
        (99, 1e6, 60.0),
    ],
)
def test_an_endpoint_is_left_alone_by_how_long_it_has_failed(
    failures: int, failing_for_s: float, held_s: float
) -> None:
    assert hold_s(failures, failing_for_s) == held_s
