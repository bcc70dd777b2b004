"""Time zones, and the nights in which clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.put_back import LocalTime, place_all
from simulators.exports.zones import named_zone, parse_zone, place_in_zone, zone_line

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


WINTER, SUMMER = datetime(2026, 1, 15, 12), datetime(2026, 7, 15, 12)


@pytest.mark.parametrize(
    ("text", "winter_h", "summer_h"),
    [
        ("EST/EDT", -5, -4),
        ("EDT/EST", -5, -4),
        ("CST/CDT", -6, -5),
        ("CET/CEST", 1, 2),
        ("Europe/Zurich", 1, 2),
        ("EST", -5, -5),
        ("EDT", -4, -4),
        ("(CEST)", 2, 2),
        ("MESZ", 2, 2),
        ("AEDT", 11, 11),
        ("JST", 9, 9),
    ],
)
def test_names_of_zones(text, winter_h, summer_h):
    zone = named_zone(text)
    assert zone.utcoffset(WINTER) == timedelta(hours=winter_h)
    assert zone.utcoffset(SUMMER) == timedelta(hours=summer_h)


@pytest.mark.parametrize("text", ["CST", "IST", "BST", "MST", "PST", "XYZ", "Mars/Olympus", "CAT/DOG", ""])
def test_names_of_no_zone_or_of_several(text):
    assert named_zone(text) is None


@pytest.mark.parametrize(
    ("line", "offset_h"),
    [
        ("Time zone: UTC+01:00", 1),
        ("Zeitzone;UTC+02:00", 2),
        ('"Time Zone","(UTC) Coordinated Universal Time"', 0),
        ("Fuseau horaire\tUTC-5", -5),
        ("UTC offset,+05:30", 5.5),
        ("All times shown are in GMT+2", 2),
        ("TZ=CEST", 2),
    ],
)
def test_lines_that_name_a_zone(line, offset_h):
    found = zone_line([(3, "Logger,7"), (4, line)])
    assert (found.line, found.zone.utcoffset(None)) == (4, timedelta(hours=offset_h))


@pytest.mark.parametrize(
    "lines",
    [
        ["Time zone: (UTC+01:00) Amsterdam, Berlin"],
        ["Time zone: local"],
        ["Time zone: CST"],
        ["Time zone: UTC+01:00", "Daylight saving: on"],
    ],
)
def test_lines_that_name_a_zone_unclearly(lines):
    found = zone_line(enumerate(lines, 1))
    assert (found.line, found.zone) == (1, None)


def test_lines_that_name_no_zone():
    assert (
        zone_line(
            [
                (1, "Start time;18.11.2026 09:45"),
                (2, "Daylight saving: on"),
                (3, "Zone;Room 4"),
                (4, "Time in transit: 4 h"),
            ]
        )
        is None
    )
    assert zone_line([(1, "Time zone: UTC+01:00"), (2, "Daylight saving: off")]).zone is not None


NIGHT = [
    # (local times, the hour UTC and minute of each: the clocks of Zurich are put back at 01:00 UTC; None: asked)
    ("01:00 02:00 02:00 03:00", "23:00 00:00 01:00 02:00"),
    ("00:30 02:00 02:30 04:00 05:30", "22:30 00:00 01:30 03:00 04:30"),
    ("00:00 01:00 02:00 03:00 04:00", None),
    ("01:50 02:00 02:10 02:00 02:10", "23:50 00:00 00:10 01:00 01:10"),
    ("02:40 02:50 03:00 03:10 03:20", "01:40 01:50 02:00 02:10 02:20"),
    ("01:40 01:50 02:00 02:10", "23:40 23:50 00:00 00:10"),
    ("02:00 02:10 02:20", None),
    ("02:00 07:00 13:00 19:00", "00:00 06:00 12:00 18:00"),
    ("02:30", None),
]


@pytest.mark.parametrize(("local", "utc"), NIGHT, ids=[local for local, _ in NIGHT])
@pytest.mark.parametrize("newest_first", [False, True])
def test_the_night_in_which_clocks_are_put_back(local, utc, newest_first):
    times = [
        LocalTime(n, text, datetime(2026, 10, 25, int(text[:2]), int(text[3:])))
        for n, text in enumerate(local.split(), 1)
    ]
    if newest_first and len(times) < 3:
        return
    times = times[::-1] if newest_first else times
    zurich = ZoneInfo("Europe/Zurich")
    if utc is None:
        with pytest.raises(TraceRefusedError, match="--repeated-hour first or second"):
            place_all(times, zurich, None)
        return
    placed = place_all(times, zurich, None)
    assert [f"{placed[n].at:%H:%M}" for n in sorted(placed)] == utc.split()


def test_a_stated_hour_settles_a_lone_time():
    times = [LocalTime(1, "02:30", datetime(2026, 10, 25, 2, 30))]
    hours = {
        said: place_all(times, ZoneInfo("Europe/Zurich"), said)[1].at.hour for said in ("first", "second")
    }
    assert hours == {"first": 0, "second": 1}


def test_a_time_that_was_skipped_shows_that_the_zone_is_not_the_clocks():
    times = [LocalTime(7, "2026-03-29 02:15", datetime(2026, 3, 29, 2, 15))]
    with pytest.raises(
        TraceRefusedError, match=r"line 7: .* State its offset, --time-zone \+01:00 or \+02:00"
    ):
        place_all(times, ZoneInfo("Europe/Zurich"), None)


@pytest.mark.parametrize(("name", "at"), [("CET", SUMMER), ("EDT", WINTER)])
def test_a_name_of_the_other_half_of_the_year_is_asked_about(name, at):
    with pytest.raises(TraceRefusedError, match=f"clocks did not show {name}"):
        place_all([LocalTime(1, "then", at)], named_zone(name), None)
