"""Pure: when people say that something happened."""

from datetime import datetime, timedelta
from typing import Final

from api.refusals import Invalid

AHEAD_AT_MOST: Final = timedelta(minutes=5)
"""So far clocks may differ."""


def not_ahead(field: str, at: datetime | None, now: datetime, *, most: timedelta = AHEAD_AT_MOST) -> None:
    """Refuse what is told before it has happened."""
    if at is not None and at > now + most:
        seconds = round(most.total_seconds())
        told = f"{seconds} seconds" if seconds % 60 else f"{seconds // 60} minutes"
        raise Invalid(field, f"lies more than {told} ahead: tell of it once it has happened")


def moment(at: datetime | None, now: datetime) -> datetime:
    """Return when something happened that is told with `at`, or with no time because it happens now."""
    not_ahead("at", at, now)
    return at or now
