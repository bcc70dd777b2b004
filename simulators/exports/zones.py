"""Pure: time zones."""

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
    """An instant in UTC, and whether the local time stands for two."""

    at: datetime
    twice: bool


def place_in_zone(local: datetime, zone: tzinfo | None, after: datetime | None) -> PlacedTime | None:
    """Place a local time on the one time line; None where the clock was put forward over it.

    Of the two instants of a time that the clock was put back over, the first that is not before `after` is taken.
    """
    if local.tzinfo is not None:
        return PlacedTime(local.astimezone(UTC), twice=False)
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return PlacedTime(first, twice=False)
    if first > second:  # as Python answers for an hour that was left out
        return None
    return PlacedTime(second if after is not None and first < after <= second else first, twice=True)
