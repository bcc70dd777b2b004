"""Pure: freshness: how old the newest reading of a logger may be before it is stale, in Python and in SQL.

A logger may miss a few readings in a row. Where its interval is not known, or does not count, something else decides:

- The rule `signal_lost` and the health of a shipment take `max_gap_s` of the plan, for which a reading proves what it
  says. The rule can be tuned to count intervals.
- The fleet takes `MISSED_INTERVALS`, and half of `max_gap_s` at most, so that much of it is known to be silent before
  any of its loggers is told of by itself.
- The list of loggers takes `MISSED_INTERVALS`, and `LEAST_S` at least: a logger may be on no shipment, without a plan.
"""

from math import inf
from typing import Final

MISSED_INTERVALS: Final = 3
"""So many readings in a row are not lost by chance."""
LEAST_S: Final = 1800.0
"""As long as a reading proves what it says by default; connections of loggers fail for minutes."""


def fresh_for(
    interval: float | None, intervals: float, *, otherwise: float, at_least: float = 0.0, at_most: float = inf
) -> float:
    """Return how old a reading may be: so many intervals within bounds, or `otherwise` where they give nothing.

    All of it is in one unit, which is the caller's.
    """
    own = intervals * (interval or 0.0)
    return min(max(own, at_least), at_most) if own > 0 else otherwise


def fresh_for_sql(
    interval: str, intervals: float, *, otherwise: str, at_least: str = "0", at_most: str = "'infinity'"
) -> str:
    """Return the same as an expression; all but `intervals` are expressions of numbers."""
    own = f"{intervals} * {interval}"
    return f"CASE WHEN {own} > 0 THEN least(greatest({own}, {at_least}), {at_most}) ELSE {otherwise} END"
