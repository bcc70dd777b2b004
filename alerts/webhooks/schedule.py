"""Pure: when a message is tried again, and how long nothing is sent to a failing endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_HOUR_S: Final = 3600.0
_TRIED_FOR_S: Final = 72 * _HOUR_S
_SPREAD: Final = 0.2
LONGEST_RETRY_AFTER_S: Final = 24 * _HOUR_S
_FIRST_DELAYS_S: Final = (0.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The delay before each attempt, in seconds; the first is before the first attempt."""

    delays_s: Sequence[float]

    def delay_s(self, tries: int, chance: float) -> float | None:
        """Return how long to wait after `tries` failed attempts; None after the last.

        `chance`, from 0 to 1, varies it by a fifth either way, so that messages that failed together are not
        retried together.
        """
        if tries >= len(self.delays_s):
            return None
        return self.delays_s[tries] * (1 + _SPREAD * (2 * chance - 1))


def _contract() -> tuple[float, ...]:
    """Return the documented delays: increasing ones first, then hourly up to 72 hours in all."""
    hourly = int((_TRIED_FOR_S - sum(_FIRST_DELAYS_S)) // _HOUR_S)
    return (*_FIRST_DELAYS_S, *[_HOUR_S] * hourly)


SCHEDULE: Final = Schedule(delays_s=_contract())


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Parse a Retry-After, seconds or a date (RFC 9110, 10.2.3), capped at a day; None if it is neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), LONGEST_RETRY_AFTER_S)


TRIPS_AT: Final = 5
"""After this many failures in a row an endpoint gets one message at a time."""
_SHORTEST_HOLD_S, _LONGEST_HOLD_S = 0.5, 60.0


def hold_s(failures: int, failing_for_s: float) -> float:
    """Return how long to hold an endpoint after a failure: a tenth of the time it has failed, 0.5 to 60 s.

    It depends on the time and not on the number of failures, so that many at once weigh no more than one.
    """
    if failures < TRIPS_AT:
        return 0.0
    return min(max(failing_for_s / 10, _SHORTEST_HOLD_S), _LONGEST_HOLD_S)
