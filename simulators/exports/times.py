"""Pure: times as loggers write them: ISO, day or month first, month names, numbers since 1970."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from simulators.exports.zones import parse_zone
from simulators.instants import EPOCH

DateOrder = Literal["year first", "day first", "month first"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<name>[A-Za-z]{3,9})\.?"
_CLOCK = (
    r"(?:[T ,]+(?P<hour>\d{1,2})[:.h](?P<minute>\d\d)(?:[:.](?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_ZONE = r"\s*(?P<zone>Z|z|(?:UTC|GMT|utc|gmt)?\s*[+-]\d{1,2}(?::?\d\d)?|UTC|GMT|utc|gmt)?"
_FORMS = tuple(
    re.compile(date + _CLOCK + _ZONE, re.ASCII)
    for date in (
        r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})",
        r"(?P<first>\d{1,2})(?P<sep>[-/.])(?P<then>\d{1,2})(?P=sep)(?P<year>\d{4}|\d\d)",
        rf"(?P<day>\d{{1,2}})[-/. ]{_MONTH}[-/. ](?P<year>\d{{4}}|\d\d)",
        rf"{_MONTH}[- ](?P<day>\d{{1,2}})(?:,\s*|[- ])(?P<year>\d{{4}})",
    )
)
_EPOCH_NUMBER = re.compile(r"\d{10}(?:\.\d+)?|\d{13}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WrittenTime:
    """A time as it was written, and its zone if it has one.

    Without an `order`, `first` and `then` are day and month or month and day.
    """

    year: int
    first: int
    then: int
    clock: tuple[int, int, int, int]
    zone: tzinfo | None
    order: DateOrder | None

    def settled(self, order: DateOrder) -> datetime | None:
        """Return the local time in a date order, with its zone if any; None if there is no such time."""
        order = self.order or order
        month, day = (self.then, self.first) if order == "day first" else (self.first, self.then)
        hour, minute, second, microsecond = self.clock
        try:
            return datetime(self.year, month, day, hour, minute, second, microsecond, tzinfo=self.zone)
        except ValueError:
            return None


def parse_time(text: str) -> WrittenTime | None:
    """Read a time; None if the text is not one."""
    text = " ".join(text.replace("\u202f", " ").split())
    if _EPOCH_NUMBER.fullmatch(text):
        return _from_number(text)
    for form in _FORMS:
        if (match := form.fullmatch(text)) is not None:
            return _from_match(match.groupdict())
    return None


def find_date_order(times: Iterable[WrittenTime]) -> DateOrder | None:
    """Find the date order from the dates that allow only one.

    None if there is no such date, or if they contradict each other.
    """
    day_first = month_first = False
    for time in times:
        if time.order is None:
            day_first |= time.first > 12
            month_first |= time.then > 12
    if day_first == month_first:
        return None
    return "day first" if day_first else "month first"


def _from_number(text: str) -> WrittenTime:
    microseconds = int(text) * 1000 if len(text) == 13 else round(float(text) * 1_000_000)
    at = EPOCH + timedelta(microseconds=microseconds)
    return WrittenTime(
        at.year, at.month, at.day, (at.hour, at.minute, at.second, at.microsecond), UTC, "year first"
    )


def _from_match(found: dict[str, str | None]) -> WrittenTime | None:
    hour = int(found["hour"] or 0)
    half = (found["half"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    microsecond = int((found["fraction"] or "0").ljust(6, "0")[:6])
    clock = (hour, int(found["minute"] or 0), int(found["second"] or 0), microsecond)
    year = int(found["year"] or 0)
    year += 2000 if year < 100 else 0
    zone = parse_zone(found["zone"]) if found["zone"] else None
    if found["zone"] and zone is None:
        return None
    if found.get("first"):
        # Dates with points between the numbers always have the day first.
        order: DateOrder | None = "day first" if found["sep"] == "." else None
        return WrittenTime(year, int(found["first"] or 0), int(found["then"] or 0), clock, zone, order)
    month = _month(found)
    return (
        None if month is None else WrittenTime(year, month, int(found["day"] or 0), clock, zone, "year first")
    )


def _month(found: dict[str, str | None]) -> int | None:
    name = found.get("name")
    if name is None:
        return int(found["month"] or 0)
    return _MONTHS.index(name[:3].lower()) + 1 if name[:3].lower() in _MONTHS else None
