"""Pure: which times of measurement can be, by what is known of the logger.

A time can be if any of these holds:

1. It is at most `RECENT` before its receipt.
2. It is at most `RECENT` before the logger was registered, and at most `OLDEST` before its receipt.
3. It lies in the time of one of the logger's shipments, or at most `AROUND` before or after it.

So whatever belongs to a shipment that is on record can be, however old; and what was measured before the shipment was
entered, or the logger registered, can be if it is of the last three months. Any other time is that of a wrong clock, or of a
shipment that is not entered yet.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

RECENT: Final = timedelta(days=92)
"""A quarter: whoever enters last month's shipments may send the readings first."""
OLDEST: Final = timedelta(days=300)
"""Less than a year, so that a clock with a wrong year is noticed also of a logger that has been here for long."""
AROUND: Final = timedelta(days=7)
"""Loggers are started before a departure, and stopped after a delivery."""
AHEAD_AT_MOST: Final = timedelta(minutes=5)
"""A clock that is further ahead is wrong: see `clock_ahead`."""

Stretch: TypeAlias = tuple[datetime, datetime | None]
"""From when on until when a logger was on a shipment; None: it still is."""


class LoggerHistory(NamedTuple):
    """What is known of a logger that tells which times it can have measured at."""

    registered_at: datetime
    stretches: Sequence[Stretch] = ()


def is_recent(measured_at: datetime, received_at: datetime) -> bool:
    """Return whether a time can be whatever the logger: nearly always, and at the cost of a comparison."""
    return measured_at >= received_at - RECENT


def is_possible(measured_at: datetime, received_at: datetime, history: LoggerHistory) -> bool:
    """Return whether a logger can have measured at this time."""
    if is_recent(measured_at, received_at):
        return True
    if measured_at >= max(history.registered_at - RECENT, received_at - OLDEST):
        return True
    return any(
        starts_at - AROUND <= measured_at and (ends_at is None or measured_at < ends_at + AROUND)
        for starts_at, ends_at in history.stretches
    )
