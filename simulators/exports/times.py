"""Pure: times as loggers write them: in any order of day, month and year, with month names, as numbers since 1970."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from simulators.exports.words import plain
from simulators.exports.zones import named_zone, parse_zone
from simulators.instants import EPOCH

DateOrder = Literal["year first", "day first", "month first"]

_MONTHS = (
    ("jan", "ene", "gen", "janv"), ("feb", "fev"), ("mar", "mae", "mrt", "mars"), ("apr", "abr", "avr"),
    ("may", "mai", "mag", "mei", "maj"), ("jun", "juin", "giu"), ("jul", "juil", "lug"), ("aug", "ago", "aou"),
    ("sep", "set"), ("oct", "okt", "ott"), ("nov",), ("dec", "dez", "dic", "des"),
)  # fmt: skip
_MONTH = r"(?P<name>[A-Za-zÀ-ÿ]{3,10})\.?"
_CLOCK = (
    r"(?:[T ,_]+(?P<hour>\d{1,2})[:.h](?P<minute>\d\d)(?:[:.](?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?\s?[Mm]\.?)?)?"
)
_COMPACT_CLOCK = r"(?:[T _-]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?)"
_COMPACT_DATE = r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)"
_ZONE = r"\s*\(?(?P<zone>Z|z|(?:UTC|GMT|utc|gmt)?\s*[+-]\d{1,2}(?::?\d\d)?|UTC|GMT|utc|gmt|[A-Z]{3,5}(?:/[A-Z]{3,5})?)?\)?"
_FORMS = (
    *(
        re.compile(date + _CLOCK + _ZONE, re.ASCII)
        for date in (
            r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})\.?",
            r"(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<c>\d{4}|\d\d)\.?",
            rf"(?P<day>\d{{1,2}})\.?[-/. ]\s?{_MONTH}[-/. ]\s?(?P<year>\d{{4}}|\d\d)",
            rf"{_MONTH}[- ](?P<day>\d{{1,2}})(?:,\s*|[- ])(?P<year>\d{{4}})",
            rf"(?P<year>\d{{4}})[-/. ]{_MONTH}[-/. ](?P<day>\d{{1,2}})",
            _COMPACT_DATE,
        )
    ),
    re.compile(_COMPACT_DATE + _COMPACT_CLOCK + _ZONE, re.ASCII),
)
_EPOCH_NUMBER = re.compile(r"\d{10}(?:\.\d+)?|\d{13}", re.ASCII)
# After this, ten digits are rather year, month, day, hour and minute.
_LATEST_EPOCH_S = 2_100_000_000


@dataclass(frozen=True, slots=True)
class WrittenTime:
    """A time as it was written, and its zone if it has one.

    `numbers` are those of the date as they stand there, `separator` is what stands between them, and `orders`
    what they may be. `has_half` is whether the clock says AM or PM.
    """

    numbers: tuple[int, int, int]
    orders: tuple[DateOrder, ...]
    clock: tuple[int, int, int, int]
    zone: tzinfo | None
    has_half: bool = False
    separator: str = "-"

    def date(self, order: DateOrder) -> tuple[int, int, int]:
        """Return year, month and day in a date order, or in the only one that is possible."""
        a, b, c = self.numbers
        chosen = order if order in self.orders else self.orders[0]
        year, month, day = {"year first": (a, b, c), "day first": (c, b, a), "month first": (c, a, b)}[chosen]
        return (year + 2000 if year < 100 else year), month, day

    def settled(self, order: DateOrder) -> datetime | None:
        """Return the local time in a date order, with its zone if any; None if there is no such time."""
        hour, minute, second, microsecond = self.clock
        try:
            return datetime(*self.date(order), hour, minute, second, microsecond, tzinfo=self.zone)
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


def _from_number(text: str) -> WrittenTime | None:
    microseconds = int(text) * 1000 if len(text) == 13 else round(float(text) * 1_000_000)
    at = EPOCH + timedelta(microseconds=microseconds)
    if microseconds > _LATEST_EPOCH_S * 1_000_000:
        return None
    clock = (at.hour, at.minute, at.second, at.microsecond)
    return WrittenTime((at.year, at.month, at.day), ("year first",), clock, UTC)


def _from_match(found: dict[str, str | None]) -> WrittenTime | None:
    hour = int(found["hour"] or 0)
    half = (found.get("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    microsecond = int((found.get("fraction") or "0").ljust(6, "0")[:6])
    clock = (hour, int(found["minute"] or 0), int(found["second"] or 0), microsecond)
    said = found["zone"]
    zone = None if said is None else parse_zone(said) or named_zone(said)
    numbers = _numbers(found)
    if numbers is None or (said and zone is None):
        return None
    return WrittenTime(numbers, _orders(found), clock, zone, bool(half), found.get("sep") or "-")


def _numbers(found: dict[str, str | None]) -> tuple[int, int, int] | None:
    if found.get("a"):
        return int(found["a"] or 0), int(found["b"] or 0), int(found["c"] or 0)
    month = _month(found["name"]) if found.get("name") else int(found["month"] or 0)
    year = int(found["year"] or 0)
    return None if month is None else (year + 2000 if year < 100 else year, month, int(found["day"] or 0))


def _orders(found: dict[str, str | None]) -> tuple[DateOrder, ...]:
    """Return what the order of three numbers may be."""
    if not found.get("a"):
        return ("year first",)
    orders: tuple[DateOrder, ...] = ("day first", "month first")
    return (*orders, "year first") if len(found["c"] or "") == 2 else orders


def _month(name: str | None) -> int | None:
    word = plain(name or "")
    for length in (4, 3):
        for number, names in enumerate(_MONTHS, 1):
            if word[:length] in names:
                return number
    return None
