"""Receiving hours: the cases that people ask about."""

from datetime import UTC, datetime
from typing import Any

import pytest

from telemetry.registry.receiving_hours import parse_receiving_hours

OFFICE = {day: [["08:00", "12:00"], ["13:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Zone, hours, when, until when it is open, or when it opens next.
OPEN: list[tuple[str, Any, str, str | None]] = [
    ("Europe/Berlin", OFFICE, "2026-11-24T07:00", "2026-11-24T11:00"),  # a Tuesday, eight in the morning
    ("America/New_York", OFFICE, "2026-11-24T21:59", "2026-11-24T22:00"),
    ("Europe/Berlin", {"fri": [["22:00", "06:00"]]}, "2026-11-28T04:59", "2026-11-28T05:00"),
    ("Europe/Berlin", {"sun": [["22:00", "24:00"]], "mon": [["00:00", "06:00"]]}, "2026-11-22T22:00", "2026-11-23T05:00"),
    # The night in which clocks are set back lasts nine hours, the other one seven.
    ("Europe/Berlin", {"sat": [["22:00", "06:00"]]}, "2026-10-24T20:00", "2026-10-25T05:00"),
    ("Europe/Berlin", {"sat": [["22:00", "06:00"]]}, "2026-03-28T21:00", "2026-03-29T04:00"),
    # 02:30 is there twice: the span ends at the first.
    ("Europe/Berlin", {"sun": [["01:00", "02:30"]]}, "2026-10-25T00:29", "2026-10-25T00:30"),
    # 02:30 is skipped: the span begins with the leap.
    ("Europe/Berlin", {"sun": [["02:30", "05:00"]]}, "2026-03-29T01:00", "2026-03-29T03:00"),
    ("UTC", {"thu": [["18:00", "06:00"]], "closed_dates": ["2026-12-25"]}, "2026-12-24T20:00", "2026-12-25T00:00"),
    ("UTC", None, "2026-12-24T20:00", None),
    ("UTC", {day: [["00:00", "24:00"]] for day in (*OFFICE, "sat", "sun")}, "2026-12-24T20:00", None),
    (
        "UTC",
        {**{day: [["00:00", "24:00"]] for day in (*OFFICE, "sat", "sun")}, "closed_dates": ["2027-01-01"]},
        "2026-11-24T20:00",
        "2027-01-01T00:00",
    ),
    (
        "UTC",
        {**{day: [["00:00", "24:00"]] for day in (*OFFICE, "sat", "sun")}, "closed_dates": ["2026-01-01"]},
        "2026-11-24T20:00",
        None,
    ),
]  # fmt: skip

CLOSED: list[tuple[str, Any, str, str | None]] = [
    ("Europe/Berlin", OFFICE, "2026-11-24T11:00", "2026-11-24T12:00"),
    ("Europe/Berlin", OFFICE, "2026-11-27T16:00", "2026-11-30T07:00"),
    ("Europe/Berlin", OFFICE | {"closed_dates": ["2026-11-30"]}, "2026-11-27T16:00", "2026-12-01T07:00"),
    ("Asia/Tokyo", OFFICE, "2026-11-22T00:00", "2026-11-22T23:00"),  # Monday there, Sunday still in UTC
    # A span that would begin on the closed date does not take place, in the night after it either.
    ("UTC", {"fri": [["22:00", "06:00"]], "closed_dates": ["2026-12-25"]}, "2026-12-26T01:00", "2027-01-01T22:00"),
    ("Europe/Berlin", {"sun": [["02:30", "05:00"]]}, "2026-03-29T00:59", "2026-03-29T01:00"),
    ("Europe/Berlin", {"sun": [["02:10", "02:50"]]}, "2026-03-28T20:00", "2026-04-05T00:10"),  # swallowed
    ("UTC", {"mon": [["08:00", "09:00"]]}, "9999-12-31T00:00", None),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "hours", "at", "until"), OPEN)
def test_open(zone: str, hours: Any, at: str, until: str | None) -> None:
    site = parse_receiving_hours(zone, hours)
    assert site.is_open(utc(at))
    assert site.opens(utc(at)) == utc(at)
    assert site.closes(utc(at)) == (None if until is None else utc(until))


@pytest.mark.parametrize(("zone", "hours", "at", "opens"), CLOSED)
def test_closed(zone: str, hours: Any, at: str, opens: str | None) -> None:
    site = parse_receiving_hours(zone, hours)
    assert not site.is_open(utc(at))
    assert site.closes(utc(at)) is None
    assert site.opens(utc(at)) == (None if opens is None else utc(opens))


def test_a_site_that_is_closed_for_years() -> None:
    closed = [f"{year}-{month:02}-{day:02}" for year in (2026, 2027, 2028) for month in range(1, 13) for day in range(1, 29)]  # fmt: skip
    site = parse_receiving_hours("UTC", {"mon": [["08:00", "09:00"]], "closed_dates": closed})
    assert site.opens(utc("2026-01-01T00:00")) == utc("2026-03-30T08:00")
    closed += [f"{year}-{month:02}-{day:02}" for year in (2026, 2027, 2028) for month in range(1, 13) for day in range(29, 31 if month != 2 else 29)]  # fmt: skip
    closed += [f"{year}-{month:02}-31" for year in (2026, 2027, 2028) for month in (1, 3, 5, 7, 8, 10, 12)] + ["2028-02-29"]  # fmt: skip
    site = parse_receiving_hours("UTC", {"mon": [["08:00", "09:00"]], "closed_dates": closed})
    assert site.opens(utc("2026-01-01T00:00")) is None
    assert site.opens(utc("2027-06-01T00:00")) == utc("2029-01-01T08:00")


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        ({}, "names no time"),
        ({"mon": []}, "names no time"),
        ({"closed_dates": ["2026-12-25"]}, "names no time"),
        ({"monday": [["08:00", "17:00"]]}, "'monday': days are mon, tue"),
        ({"mon": ["08:00", "17:00"]}, "mon: a span is a pair"),
        ({"tue": [["08:00", "12:00", "17:00"]]}, "tue: a span is a pair"),
        ({"mon": [["8:00", "17:00"]]}, "mon: write times as HH:MM"),
        ({"mon": [["08:00", "25:00"]]}, "mon: write times as HH:MM"),
        ({"mon": [["08:00", "17:60"]]}, "mon: write times as HH:MM"),
        ({"mon": [["08:00", "17:00\n"]]}, "mon: write times as HH:MM"),
        ({"mon": [["08:00", "08:00"]]}, "mon: a span from 08:00 to 08:00 is empty"),
        ({"mon": [["24:00", "06:00"]]}, "mon: a span from 24:00 to 06:00 is empty"),
    ],
)
def test_what_is_wrong_is_said(hours: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_receiving_hours("UTC", hours)
