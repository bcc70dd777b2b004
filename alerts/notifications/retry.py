"""Pure: the result of one try to send a message, and when it is tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SPREAD: Final = 0.2
DELAYS_S: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, *[900.0] * 95)
"""Delays after each failed try, for a day: an alert that is a day old is left to reminders."""


class Outcome(StrEnum):
    """The outcome of a try."""

    SENT = "sent"
    LATER = "later"
    """It failed and may succeed later."""
    REFUSED = "refused"
    """It failed for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of a try, and one line that says what was answered or went wrong."""

    outcome: Outcome
    detail: str
    seconds: float = 0.0


def delay_s(tries: int, chance: float, delays_s: Sequence[float] = DELAYS_S) -> float | None:
    """Return how long to wait after so many failed tries, ±20 %; None after the last."""
    if tries > len(delays_s):
        return None
    return delays_s[tries - 1] * (1 + _SPREAD * (2 * chance - 1))
