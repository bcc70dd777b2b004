"""Times as loggers write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.date_orders import settle_order
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
        ("20261121 154500", AT),
        ("20261121T1545", AT),
        ("21. November 2026 15:45", AT),
        ("21-nov.-26 15h45", AT),
        ("2026-Nov-21 15:45", AT),
        ("21-Mär-2026 15:45", AT.replace(month=3)),
        ("21-Okt-2026 15:45", AT.replace(month=10)),
        ("21 juin 2026 15:45", AT.replace(month=6)),
        ("21 juillet 2026 15:45", AT.replace(month=7)),
        ("2026-11-21 15:45 (CEST)", AT.replace(tzinfo=timezone(timedelta(hours=2), "CEST"))),
        ("21.11.2026 12:00:00 AM", AT.replace(hour=0, minute=0)),
    ],
)
def test_times(text, is_at):
    time = parse_time(text)
    assert time is not None
    assert time.settled("day first") == is_at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "15:45",
        "2026-11",
        "2026-11-21 15",
        "21 Brumaire 2026",
        "13:00 PM",
        "2611181545",
        "2026-11-21 15:45 CST",
    ],
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


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("26-11-18", {"year first", "day first", "month first"}),
        ("26.11.18", {"year first", "day first", "month first"}),
        ("26.11.2018", {"day first", "month first"}),
        ("26/11/2018", {"day first", "month first"}),
        ("2018-11-26", {"year first"}),
    ],
)
def test_what_three_numbers_may_be(text, orders):
    assert set(parse_time(text).orders) == orders


NOW = datetime(2026, 11, 30, tzinfo=UTC)
NIGHTS = [
    # (the dates of three readings around midnight or in one hour, and how they are read; None: asked)
    (("26-11-18 23:50", "26-11-18 23:55", "26-11-19 00:00"), "year first"),
    (("18/11/26 23:50", "18/11/26 23:55", "19/11/26 00:00"), "day first"),
    (("9/10/2026 23:50", "9/10/2026 23:55", "10/10/2026 00:00"), "day first"),
    (("9/10/2026 23:50", "9/10/2026 23:55", "9/11/2026 00:00"), "month first"),
    (("9/11/2026 00:00", "9/10/2026 23:55", "9/10/2026 23:50"), "month first"),
    (("26-11-18 09:50", "26-11-18 09:55", "26-11-18 10:00"), None),
    (("18-11-26 09:50", "18-11-26 09:55", "18-11-26 10:00"), None),
    (("18.11.26 09:50", "18.11.26 09:55", "18.11.26 10:00"), "day first"),
    (("03.04.2026 09:50", "03.04.2026 09:55", "03.04.2026 10:00"), "day first"),
    (("03.18.26 09:50", "03.18.26 09:55", "03.18.26 10:00"), "month first"),
    (("26.11.18 09:50", "26.11.18 09:55", "26.11.18 10:00"), None),
    (("27-11-26 09:50", "27-11-26 09:55", "27-11-26 10:00"), "day first"),  # else of 2027
    (("3/4/2026 08:00", "4/4/2026 08:00", "5/4/2026 08:00"), None),  # each day, or each month
    (("31/04/2026 08:00", "13/4/2026 08:05"), "day first"),
]


@pytest.mark.parametrize(("texts", "order"), NIGHTS, ids=[texts[0] for texts, _ in NIGHTS])
def test_the_readings_settle_the_order_or_it_is_asked(texts, order):
    times = [("LOG-1", line, parse_time(text)) for line, text in enumerate(texts, 2)]
    if order is None:
        with pytest.raises(TraceRefusedError, match=r"line 2: is .* state --day-first or --"):
            settle_order(times, LOG, NOW)
    else:
        assert settle_order(times, LOG, NOW) == order


def test_what_is_stated_holds_for_dates_with_points_too():
    times = [("LOG-1", 2, parse_time("03.04.2026 09:50"))]
    assert settle_order(times, Choices(day_first=False), NOW) == "month first"
