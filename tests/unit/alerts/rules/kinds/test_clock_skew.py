"""Clocks that are wrong, and delays that only look like wrong clocks."""

import numpy as np
import pytest

from alerts.excursions.trace import Channel, Trace
from alerts.rules.kinds.clock_skew import CLOCK_SKEW
from alerts.rules.rule import Look
from tests.unit.alerts.rules.readings import HOUR, MINUTE, SECOND, START, look, trace


def uploads(delays, *, every=10 * MINUTE, seq=None, boot=None) -> Trace:
    """Return readings with these delays until they arrive."""
    readings = trace({Channel.RECEIVED_AT: np.zeros(len(delays))}, every=every)
    readings.channels[Channel.RECEIVED_AT][:] = readings.at + np.array(delays)
    columns = dict(readings.channels)
    columns[Channel.SEQ] = np.arange(len(delays), dtype=float) if seq is None else np.array(seq, float)
    if boot is not None:
        columns[Channel.BOOT] = np.array(boot, float)
    return Trace(readings.at, readings.celsius, columns)


def flight(count: int, every: int = 10 * MINUTE) -> list[int]:
    """Return the delays of readings kept during a flight, which all arrive when it has landed."""
    return [every * left + 2 * SECOND for left in range(count - 1, -1, -1)]


LIVE = [2 * SECOND] * 30


def queued(hours: int) -> Trace:
    return uploads([*LIVE, *[hours * HOUR] * 60])


@pytest.mark.parametrize(
    "readings",
    [
        uploads(LIVE),
        uploads([*LIVE, *flight(60), *LIVE]),  # kept during a flight of ten hours
        uploads([*flight(6), *flight(6), *flight(6), *flight(6), *flight(6)]),  # sent once an hour
        uploads([-119 * SECOND] * 30),  # what a clock loses in ten days
        queued(3),  # worked off in step: numbers and time went on while the delay grew
        uploads([5 * HOUR] * 5),  # too few to say
        uploads([2 * HOUR, 5 * HOUR, 3 * HOUR, 9 * HOUR] * 8),  # late, but never by the same
        uploads(LIVE, seq=[*range(100, 115), *range(15)]),  # a restart of one that does not number them
        uploads(LIVE, seq=[*range(15), *range(15)], boot=[1] * 15 + [2] * 15),  # and of one that does
    ],
)
def test_what_is_no_wrong_clock(readings):
    assert look(CLOCK_SKEW, readings) == Look()


def test_a_reading_from_the_future_is_certain():
    what = look(CLOCK_SKEW, uploads([*LIVE, -200 * SECOND])).found
    assert what is not None
    assert what.message.startswith("Logger's clock is at least 3 min ahead")
    assert (what.since, what.until, what.details) == (START + 300 * MINUTE, None, {"ahead_s": 180})


def test_it_is_over_once_six_hours_show_nothing_of_it():
    ahead = look(CLOCK_SKEW, uploads([-200 * SECOND, *[SECOND] * 35])).found
    assert ahead is not None
    assert ahead.until is None
    over = look(CLOCK_SKEW, uploads([-200 * SECOND, *[SECOND] * 36])).found
    assert over is not None
    assert over.until == START + 6 * HOUR


@pytest.mark.parametrize(
    ("delay", "says"),
    [
        (2 * HOUR + 3 * SECOND, "about 2 h behind, as if set to another time zone"),
        (5 * HOUR + 30 * MINUTE, "about 5 h 30 min behind, as if set to another time zone"),  # India
        (47 * MINUTE, "about 45 min behind: every upload"),
    ],
)
def test_uploads_that_all_are_late_by_the_same(delay, says):
    readings = uploads([delay + (n % 3) * SECOND for n in range(30)])
    what = look(CLOCK_SKEW, readings).found
    assert what is not None
    assert says in what.message
    assert what.since == START


def test_a_clock_that_is_behind_is_so_over_a_flight_too():
    late = [2 * HOUR + one for one in [*LIVE, *flight(20), *LIVE]]
    what = look(CLOCK_SKEW, uploads(late)).found
    assert what is not None
    assert (what.since, what.until) == (START, None)


def test_it_ends_where_uploads_come_in_time():
    what = look(CLOCK_SKEW, uploads([*[2 * HOUR] * 30, *LIVE])).found
    assert what is not None
    assert what.until == START + 300 * MINUTE


def test_a_clock_that_is_set_back_shows_in_the_order_of_numbers():
    mixed = [n for pair in zip(range(40, 50), range(50, 60), strict=True) for n in pair]
    for boot in ([7] * 60, None):  # also where restarts are not numbered, for it falls again and again
        what = look(CLOCK_SKEW, uploads([SECOND] * 60, seq=[*range(40), *mixed], boot=boot)).found
        assert what is not None
        assert what.message.startswith("Logger's clock was set back")
        assert what.since >= START + 410 * MINUTE


def test_set_back_on_the_way_by_an_hour_it_is_behind_from_then_on():
    # Readings of both times lie between each other for an hour; then all are late, and their numbers have jumped.
    readings = uploads([*LIVE, *[HOUR] * 30], seq=[*range(30), *range(36, 66)])
    what = look(CLOCK_SKEW, readings).found
    assert what is not None
    assert "about 1 h behind" in what.message
