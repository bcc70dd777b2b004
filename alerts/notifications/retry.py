"""Pure: what came of one try to send a notice, and when it is tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SPREAD: Final = 0.2
DELAYS_S: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, *[900.0] * 95)
"""After each try that failed: for a day, since an alert that is a day old is the repeats' business."""


class Outcome(StrEnum):
    """What came of a try."""

    SENT = "sent"
    LATER = "later"
    """It failed in a way that may pass."""
    REFUSED = "refused"
    """It failed in a way that does not pass by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of a try, and in one line what was answered or went wrong."""

    outcome: Outcome
    detail: str
    seconds: float = 0.0


def delay_s(tries: int, chance: float, delays_s: Sequence[float] = DELAYS_S) -> float | None:
    """Return how long to wait after so many tries that failed, spread by a fifth; None where it was the last one."""
    if tries > len(delays_s):
        return None
    return delays_s[tries - 1] * (1 + _SPREAD * (2 * chance - 1))
