"""Pure: whether the instants at which a logger contradicted itself are one hour of its grid, measured twice.

A logger that keeps local time is set back by an hour at the end of summer time: it measures the same hour again, at the same
instants by its clock, with other values. One conflict says nothing; a whole hour of them at the logger's own interval does.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

HOUR_US: Final = 3_600_000_000
_PART: Final = 2 / 3
"""So much of the hour's readings must be there: where both hours had the same value, the second was a duplicate."""
_OFF_GRID: Final = 0.05
"""By so much of an interval an instant may miss the grid."""


def repeats_an_hour(instants: Sequence[int], interval_us: int | None, late_by_us: int | None = None) -> bool:
    """Return whether instants, in microseconds, are those of an hour that was measured twice.

    `interval_us` is how often the logger measures; None: as often as the closest of the instants lie together. Where that is
    once an hour, one instant is an hour: then `late_by_us`, how long after it its reading came, must be an hour as well.
    """
    at = sorted(set(instants))
    closest = min((later - earlier for earlier, later in pairwise(at)), default=None)
    every = interval_us or closest
    if every is None or not every or every > HOUR_US * (1 + _OFF_GRID) or HOUR_US / every > len(at) / _PART:
        return False
    wanted = max(1, round(_PART * HOUR_US / every))
    if wanted == 1 and (late_by_us is None or not 0.9 * HOUR_US <= late_by_us <= 1.2 * HOUR_US):
        return False
    for place, first in enumerate(at):
        hour = [one for one in at[place:] if one - first < HOUR_US - every * _OFF_GRID]
        if len(hour) < wanted:
            continue
        if all(abs((one - first) / every - round((one - first) / every)) <= _OFF_GRID for one in hour):
            is_alone = place == 0 or first - at[place - 1] > every * (1 + _OFF_GRID)
            ends = place + len(hour) == len(at) or at[place + len(hour)] - hour[-1] > every * (1 + _OFF_GRID)
            if is_alone and ends:
                return True
    return False
