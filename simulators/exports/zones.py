"""Pure: time zones as loggers write them: offsets, abbreviations, and lines that name one."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulators.exports.words import plain

_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d\d)?", re.ASCII | re.IGNORECASE)
# Where clocks are put forward and back: standard time, summer time, and a place where both are kept.
_PAIRS: Final = {
    ("EST", "EDT"): "America/New_York",
    ("CST", "CDT"): "America/Chicago",
    ("MST", "MDT"): "America/Denver",
    ("PST", "PDT"): "America/Los_Angeles",
    ("AKST", "AKDT"): "America/Anchorage",
    ("AST", "ADT"): "America/Halifax",
    ("NST", "NDT"): "America/St_Johns",
    ("CET", "CEST"): "Europe/Berlin",
    ("MEZ", "MESZ"): "Europe/Berlin",
    ("GMT", "BST"): "Europe/London",
    ("WET", "WEST"): "Europe/Lisbon",
    ("EET", "EEST"): "Europe/Helsinki",
    ("AEST", "AEDT"): "Australia/Sydney",
    ("ACST", "ACDT"): "Australia/Adelaide",
    ("NZST", "NZDT"): "Pacific/Auckland",
}
# Alone, these are names of several zones.
_AMBIGUOUS: Final = frozenset({"CST", "CDT", "MST", "PST", "AST", "ADT", "BST", "IST", "NST", "GST"})
_FIXED: Final = {"JST": 9, "KST": 9, "HKT": 8, "AWST": 8, "MSK": 3}
_PLACES: Final = {name: place for pair, place in _PAIRS.items() for name in pair if name not in _AMBIGUOUS}
_WINTER, _SUMMER = datetime(2026, 1, 15, 12, tzinfo=UTC), datetime(2026, 7, 15, 12, tzinfo=UTC)
_LINE: Final = re.compile(
    r"(?:.*\b)?(?:time ?zone|zeitzone|fuseau(?: horaire)?|zona horaria|fuso(?: orario)?|tijdzone|(?:utc|gmt)[ -]?offset"
    r"|tz)\b\W*?(?P<said>[\w(+−-].*)",
    re.IGNORECASE,
)
_TIMES_IN: Final = re.compile(
    r"(?:all )?(?:times?|timestamps?|zeiten|zeitangaben)(?: shown)?(?: are| is| sind)?(?: in)? "
    r"(?P<said>\(?(?:UTC|GMT|MEZ|CET).*)",
    re.IGNORECASE,
)
_PUT_FORWARD: Final = re.compile(r"\b(?:dst|daylight|sommerzeit|summer ?time|heure d.ete)\b", re.IGNORECASE)
_NOT_PUT_FORWARD: Final = re.compile(r"\b(?:off|no|not|none|nein|aus|non|disabled|false|0)\b", re.IGNORECASE)


def parse_zone(text: str) -> tzinfo | None:
    """Read UTC, GMT, Z or an offset such as +02:00 or GMT+2; None for anything else."""
    text = text.strip()
    if text.upper() in {"UTC", "GMT", "Z"}:
        return UTC
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    hours, minutes = int(match[2]), int(match[3] or 0)
    if hours > 14 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if match[1] == "-" else offset)


def named_zone(text: str) -> tzinfo | None:
    """Read an abbreviation such as EDT, a pair such as EST/EDT, or a name such as Europe/Zurich.

    None if it is unknown, or may be one of several.
    """
    text = text.strip().strip("()").strip()
    names = tuple(text.upper().split("/"))
    for pair, place in _PAIRS.items():
        if len(names) == 2 and set(names) == set(pair):
            return ZoneInfo(place)
    if text in _FIXED:
        return timezone(timedelta(hours=_FIXED[text]), text)
    if text in _PLACES:
        return _abbreviated(text)
    if re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z_]+(?:/[A-Za-z_]+)?", text) is None:
        return None
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _abbreviated(name: str) -> tzinfo:
    place = ZoneInfo(_PLACES[name])
    summer = any(name == pair[1] for pair in _PAIRS)
    offsets = [at.replace(tzinfo=place).utcoffset() or timedelta(0) for at in (_WINTER, _SUMMER)]
    return timezone(max(offsets) if summer else min(offsets), name)


def contradicts(local: datetime, zone: tzinfo | None) -> str | None:
    """Return the place whose clocks show another time, if a zone is the name of its standard or summer time.

    Some loggers write CET all the year, and mean the time of the place.
    """
    name = zone.tzname(None) if isinstance(zone, timezone) else None
    if name is None or name not in _PLACES:
        return None
    place = ZoneInfo(_PLACES[name])
    theirs = {local.replace(tzinfo=place, fold=fold).utcoffset() for fold in (0, 1)}
    return None if zone is None or zone.utcoffset(None) in theirs else str(place)


@dataclass(frozen=True, slots=True)
class ZoneLine:
    """A line that names the time zone of a file; `zone` is None if it does not say which."""

    line: int
    said: str
    zone: tzinfo | None


def zone_line(lines: Iterable[tuple[int, str]]) -> ZoneLine | None:
    """Find the line that names the zone, such as `Time zone: UTC+01:00`.

    An offset beside names of places, or beside daylight saving time, is not the offset of the whole year.
    """
    found: ZoneLine | None = None
    put_forward = False
    for number, line in lines:
        text = re.sub(r"[\"\t;|,]+", " ", line).strip()
        match = _LINE.match(text) or _TIMES_IN.match(text)
        if match is not None and found is None:
            said = match["said"].strip()
            found = ZoneLine(number, said[:60], _zone_said(said.replace("−", "-")))
        elif _PUT_FORWARD.search(plain(text)) and not _NOT_PUT_FORWARD.search(plain(text)):
            put_forward = True
    if found is not None and put_forward and isinstance(found.zone, timezone):
        return ZoneLine(found.line, f"{found.said}, and another line names daylight saving time", None)
    return found


def _zone_said(said: str) -> tzinfo | None:
    whole = parse_zone(said) or parse_zone(said.strip("()")) or named_zone(said)
    if whole is not None:
        return whole
    match = re.match(
        r"\(?\s*((?:UTC|GMT)\s*(?:[+-]\s*\d{1,2}(?::?\d\d)?)?)\s*\)?\s*(.*)", said, re.IGNORECASE
    )
    if match is None:
        return None
    zone, beside = parse_zone(match[1].replace(" ", "")), match[2].strip(" .,()")
    if beside.casefold() in {"", "h", "hours", "stunden", "coordinated universal time", "utc", "gmt"}:
        return zone
    other = parse_zone(beside) or named_zone(beside)
    same = zone is not None and other is not None and other.utcoffset(None) == zone.utcoffset(None)
    return zone if same else None


@dataclass(frozen=True, slots=True)
class PlacedTime:
    """An instant in UTC, and whether its local time occurs twice."""

    at: datetime
    twice: bool


def place_in_zone(local: datetime, zone: tzinfo | None, after: datetime | None) -> PlacedTime | None:
    """Return the instant of a local time; None if the clocks were put forward over it.

    A local time that occurs twice, as clocks were put back, means the first of its two instants that is not
    before `after`.
    """
    if local.tzinfo is not None:
        return PlacedTime(local.astimezone(UTC), twice=False)
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return PlacedTime(first, twice=False)
    if first > second:  # Python answers so for an hour that the clocks skipped
        return None
    return PlacedTime(second if after is not None and first < after <= second else first, twice=True)
