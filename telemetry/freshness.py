"""Pure: how old the newest reading of a logger may be before it is stale, in Python and in SQL.

A logger may miss a few readings in a row. The callers differ in what they allow:

- The rule `signal_lost` and the health of a shipment use `max_gap_s` of the plan, the time for which a reading counts
  as proof. The rule can be tuned to count intervals.
- The fleet uses `MISSED_INTERVALS`, and at most half of `max_gap_s`, so that a silent fleet is noticed before its
  loggers are reported one by one.
- The list of loggers uses `MISSED_INTERVALS`, and at least `LEAST_S`: a logger may be on no shipment and so have no plan.
"""

from math import inf
from typing import Final

MISSED_INTERVALS: Final = 3
"""This many readings in a row are not lost by chance."""
LEAST_S: Final = 1800.0
"""The default `max_gap_s` of a plan; loggers lose their connection for minutes."""


def fresh_for(
    interval: float | None, intervals: float, *, otherwise: float, at_least: float = 0.0, at_most: float = inf
) -> float:
    """Return how old a reading may be: `intervals` intervals within bounds, or `otherwise` if the interval is unknown.

    All durations are in the same unit, chosen by the caller.
    """
    own = intervals * (interval or 0.0)
    return min(max(own, at_least), at_most) if own > 0 else otherwise


def fresh_for_sql(
    interval: str, intervals: float, *, otherwise: str, at_least: str = "0", at_most: str = "'infinity'"
) -> str:
    """Return the SQL expression for the same; all arguments but `intervals` are numeric expressions."""
    own = f"{intervals} * {interval}"
    return f"CASE WHEN {own} > 0 THEN least(greatest({own}, {at_least}), {at_most}) ELSE {otherwise} END"
