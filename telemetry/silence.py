"""Pure: until when a logger counts as heard, in Python and in SQL.

It does while its newest reading is fresh (`telemetry/freshness.py`), and during the silence that this reading announced
(`flight_mode_until`). Callers treat an announcement differently:

- The rule `signal_lost` and the fleet accept it for at most `LONGEST` after the reading, and allow `LANDING` after its
  end: they wake people.
- The health of a shipment and the list of loggers accept it as it is: they show what the logger said.
"""

from datetime import datetime, timedelta
from typing import Any, Final, overload

LONGEST: Final = timedelta(hours=24)
"""The longest silence that may be announced: no flight lasts longer, and a faulty logger must not hide itself."""
LANDING: Final = timedelta(hours=1)
"""How much longer than announced a silence may last: aircraft land late, and holds have no network."""


@overload
def announced_until(
    seen: int, announced: int | None, *, longest: int | None = None, landing: int | None = None
) -> int | None: ...
@overload
def announced_until(
    seen: datetime,
    announced: datetime | None,
    *,
    longest: timedelta | None = None,
    landing: timedelta | None = None,
) -> datetime | None: ...
def announced_until(seen: Any, announced: Any, *, longest: Any = None, landing: Any = None) -> Any:
    """Return until when a reading announces silence; None if it does not.

    The arguments are either `datetime` and `timedelta`, or all integers.
    """
    if announced is None or announced <= seen:
        return None
    ends = announced if longest is None else min(announced, seen + longest)
    return ends if landing is None else ends + landing


def announced_until_sql(
    seen: str, announced: str, *, longest: str | None = None, landing: str | None = None
) -> str:
    """Return the SQL expression for the same, from expressions of times and intervals."""
    ends = announced if longest is None else f"least({announced}, {seen} + {longest})"
    return f"CASE WHEN {announced} > {seen} THEN {ends if landing is None else f'{ends} + {landing}'} END"


@overload
def heard_until(
    seen: int,
    fresh_for: int,
    announced: int | None,
    *,
    longest: int | None = None,
    landing: int | None = None,
) -> int: ...
@overload
def heard_until(
    seen: datetime,
    fresh_for: timedelta,
    announced: datetime | None,
    *,
    longest: timedelta | None = None,
    landing: timedelta | None = None,
) -> datetime: ...
def heard_until(
    seen: Any, fresh_for: Any, announced: Any, *, longest: Any = None, landing: Any = None
) -> Any:
    """Return until when a logger counts as heard, by its newest reading and the silence that it announced."""
    until = announced_until(seen, announced, longest=longest, landing=landing)
    return seen + fresh_for if until is None else max(seen + fresh_for, until)


def heard_until_sql(
    seen: str, fresh_for: str, announced: str, *, longest: str | None = None, landing: str | None = None
) -> str:
    """Return the SQL expression for the same, from expressions of times and intervals; null if nothing was seen."""
    until = announced_until_sql(seen, announced, longest=longest, landing=landing)
    return f"greatest({seen} + {fresh_for}, {until})"  # greatest ignores null
