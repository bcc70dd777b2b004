"""Pure: the words in which people are told what happened; one way to print a temperature, a time, a duration."""

from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.model import SECOND, Duration, Instant, to_datetime

KEY = "key:"
"""Begins the name of whoever did something by the HTTP interface."""


def temperature(celsius: float) -> str:
    """Print `−150 °C` or `−128.1 °C`: a true minus sign, and no digit more than was measured to a tenth."""
    tenths = round(celsius, 1) or 0.0  # never "−0"
    return f"{tenths:.1f}".removesuffix(".0").replace("-", "−") + " °C"


def person(name: str) -> str:
    """Print who did something: `Kim Lee`, or `key dw_1f0c93ab` of whoever gave no name."""
    return f"key {name.removeprefix(KEY)}" if name.startswith(KEY) else name


def time(when: datetime) -> str:
    """Print `2026-11-21 03:45 UTC`."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def rfc3339(time: datetime) -> str:
    """Print a UTC time with `Z`, to the microsecond where it has any."""
    return time.isoformat().replace("+00:00", "Z")


def instant_text(instant: Instant | None) -> str | None:
    """Print an instant likewise; None stays None."""
    return None if instant is None else rfc3339(to_datetime(instant))


def instant(when: Instant, zone: ZoneInfo | None = None) -> str:
    """Print an instant as `time` does; with a zone, by its clock as well: `… UTC (Sun 23:45 America/New_York)`."""
    utc = to_datetime(when)
    return time(utc) + ("" if zone is None else _by_its_clock(utc, zone))


def _by_its_clock(utc: datetime, zone: ZoneInfo) -> str:
    try:
        return f" ({utc.astimezone(zone):%a %H:%M} {zone.key})"
    except OverflowError:  # past the last day that there is, as for a plan without an end
        return ""


def on_it(name: str, since: Instant, zone: ZoneInfo | None = None) -> str:
    """Say who sees to something, and since when."""
    return f"{person(name)} is on it, since {instant(since, zone)}."


def duration(length: Duration) -> str:
    """Print the two largest units: `3 h 05 min`, `4 min 10 s`, `7 s`."""
    seconds = round(length / SECOND)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {seconds % 60:02} s"
    return f"{seconds} s"
