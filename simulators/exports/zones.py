"""Pure: time zones as loggers write them, and local times in a zone."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d\d)?", re.ASCII | re.IGNORECASE)


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
