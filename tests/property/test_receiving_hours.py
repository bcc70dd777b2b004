"""Receiving hours against a local clock that is simulated minute by minute, over clock changes of every kind."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.registry.receiving_hours import WEEKDAYS, first_instant_at, parse_receiving_hours

DAY = timedelta(days=1)
# A day on which something happens to the clocks there, or nothing.
LEAPS = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),  # by half an hour
    ("America/Santiago", date(2026, 9, 6)),  # at midnight, forward
    ("America/Santiago", date(2026, 4, 5)),  # at midnight, back into the day before
    ("Pacific/Apia", date(2011, 12, 30)),  # a day that was not
    ("Asia/Kathmandu", date(2026, 7, 1)),
    ("UTC", date(2026, 1, 1)),
]

clock = st.builds(
    lambda hours, minutes: f"{hours:02}:{minutes:02}",
    st.integers(0, 23),
    st.sampled_from([0, 0, 15, 30, 45, 59]),
)
span = st.one_of(
    st.tuples(clock, st.one_of(clock, st.just("24:00"))).filter(lambda pair: pair[0] != pair[1]),
    st.just(("00:00", "24:00")),
)
week = st.dictionaries(st.sampled_from(WEEKDAYS), st.lists(span, max_size=3)).filter(
    lambda days: any(days.values())
)


@cache
def minutes_of(zone: ZoneInfo, leap: date) -> tuple[tuple[datetime, datetime], ...]:
    """Every minute around a day, with the latest local time that the clock has shown by then."""
    return tuple(_minutes_of(zone, leap))


def _minutes_of(zone: ZoneInfo, leap: date) -> Iterator[tuple[datetime, datetime]]:
    at = datetime(leap.year, leap.month, leap.day, tzinfo=UTC) - 6 * DAY
    end, shown = at + 12 * DAY, datetime.min
    while at < end:
        shown = max(shown, at.astimezone(zone).replace(tzinfo=None))
        yield at, shown
        at += timedelta(minutes=1)


def is_open_by_definition(hours: dict[str, Any], shown: datetime) -> bool:
    """Whether one of the spans covers the local time, straight from the definition."""
    closed: Sequence[str] = hours["closed_dates"]
    if shown.date().isoformat() in closed:
        return False
    for day in (shown.date(), shown.date() - DAY):
        if day.isoformat() in closed:
            continue
        for starts, ends in hours.get(WEEKDAYS[day.weekday()], ()):
            begin, end = at_clock(day, starts), at_clock(day, ends)
            if begin <= shown < (end if end > begin else end + DAY):
                return True
    return False


def at_clock(day: date, clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day) + timedelta(hours=hours, minutes=minutes)


@settings(deadline=None, max_examples=50)  # an example computes each minute of five days
@given(st.sampled_from(LEAPS), week, st.lists(st.integers(-5, 5), max_size=2), st.data())
def test_it_is_open_by_the_local_clock(
    leap: tuple[str, date], spans: dict[str, Any], closed: list[int], data: st.DataObject
) -> None:
    name, around = leap
    given_hours = {**spans, "closed_dates": [(around + n * DAY).isoformat() for n in closed]}
    hours = parse_receiving_hours(name, given_hours)
    expected = [
        (at, is_open_by_definition(given_hours, shown)) for at, shown in minutes_of(ZoneInfo(name), around)
    ]
    # The first two days only bring the local clock up to date.
    for index in data.draw(st.lists(st.integers(2 * 1440, len(expected) - 1), min_size=20, max_size=40)):
        at, is_open = expected[index]
        assert hours.is_open(at) == is_open, at
    index = data.draw(st.integers(2 * 1440, 4 * 1440))
    at, is_open = expected[index]
    changes = next((when for when, other in expected[index:] if other != is_open), None)
    if is_open and changes is not None:
        assert hours.opens(at) == at
        assert hours.closes(at) == changes
    elif changes is not None:
        assert hours.opens(at) == changes
        assert hours.closes(at) is None
    for beyond in (hours.opens(at), hours.closes(at)):
        assert changes is not None or beyond is None or beyond == at or beyond > expected[-1][0]


@given(
    st.sampled_from([name for name, _ in LEAPS]),
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2040, 1, 1)),
    st.integers(0, 3 * 86400),
)
def test_a_later_local_time_is_not_reached_earlier(name: str, wall: datetime, seconds: int) -> None:
    zone, wall = ZoneInfo(name), wall.replace(microsecond=0)
    first = first_instant_at(zone, wall)
    assert first.astimezone(zone).replace(tzinfo=None) >= wall
    assert (first - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None) != wall
    assert first_instant_at(zone, wall + timedelta(seconds=seconds)) >= first


@given(
    week,
    st.lists(st.dates(date(2026, 1, 1), date(2026, 3, 1)), max_size=3),
    st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)),
)
def test_what_it_says_of_itself_agrees(spans: dict[str, Any], closed: list[date], at: datetime) -> None:
    hours = parse_receiving_hours(
        "Europe/Berlin", {**spans, "closed_dates": [day.isoformat() for day in closed]}
    )
    opens, closes = hours.opens(at), hours.closes(at)
    assert hours.is_open(at) == (opens == at)
    if closes is not None:
        assert hours.is_open(at)
        assert closes > at
        assert not hours.is_open(closes)
        assert hours.is_open(closes - timedelta(microseconds=1))
    if opens is not None and opens > at:
        assert hours.is_open(opens)
        assert not hours.is_open(opens - timedelta(microseconds=1))
