"""Which fault of a clock a time shows, and what the true time probably was."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.timekeeping.faults import CERTAIN, ROLLOVER, WORDS, ClockFault, diagnose, in_milliseconds
from telemetry.timekeeping.possible_times import LoggerHistory

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HISTORY = LoggerHistory(NOW - timedelta(days=400), [(NOW - timedelta(hours=2), None)])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_milliseconds(at: datetime) -> datetime:
    """The time that comes of seconds since 1970 that are read as milliseconds."""
    return EPOCH + (at - EPOCH) / 1000


@pytest.mark.parametrize(
    ("sent", "fault", "true_at"),
    [
        (as_milliseconds(NOW), ClockFault.SECONDS_FOR_MILLISECONDS, NOW),
        (NOW - ROLLOVER, ClockFault.WEEK_ROLLOVER, NOW),
        (NOW - 2 * ROLLOVER - timedelta(minutes=5), ClockFault.WEEK_ROLLOVER, NOW - timedelta(minutes=5)),
        (datetime(2000, 1, 2, tzinfo=UTC), ClockFault.RESET, NOW),
        (datetime(1970, 1, 1, 0, 10, tzinfo=UTC), ClockFault.RESET, NOW),
        (datetime(1980, 1, 6, 1, tzinfo=UTC), ClockFault.RESET, NOW),
        (NOW.replace(year=2025), ClockFault.WRONG_YEAR, NOW),
        (datetime(2012, 5, 7, tzinfo=UTC), ClockFault.BEHIND, NOW),
    ],
)
def test_a_time_that_cannot_be_names_its_fault(sent: datetime, fault: ClockFault, true_at: datetime) -> None:
    assert diagnose([sent], NOW, HISTORY) == [(fault, true_at)]


def test_an_upload_of_a_clock_that_was_reset_is_dated_by_its_newest_reading() -> None:
    began = datetime(2000, 1, 1, 3, tzinfo=UTC)
    sent = [began + timedelta(minutes=5 * n) for n in range(4)]
    found = diagnose(sent, NOW, HISTORY)
    assert [one.true_at for one in found] == [NOW - timedelta(minutes=5 * n) for n in (3, 2, 1, 0)]


def test_times_that_no_clock_has_counted_are_those_of_a_dead_one() -> None:
    sent = [NOW - timedelta(days=1000 + 900 * n) for n in range(3)]
    assert {one.fault for one in diagnose(sent, NOW, HISTORY)} == {ClockFault.SCATTERED}


def test_every_fault_has_words_and_what_is_certain_is_known() -> None:
    assert WORDS.keys() == set(ClockFault)
    assert set(ClockFault) >= CERTAIN


def test_a_time_beyond_the_calendar_is_no_error() -> None:
    assert in_milliseconds(NOW) > datetime(9999, 1, 1, tzinfo=UTC)
