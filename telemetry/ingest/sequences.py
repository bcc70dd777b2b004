"""Pure: what a logger's counter tells: which of its readings are here, and which it has to send again.

A counter starts at 0 or at 1, and which of the two is not known. So where 1 is here and 0 is not, `through` counts
from 1, and 0 is still named as missing: a logger that has such a reading sends it, and another has none to send.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

Range = Sequence[int]
"""Two: the first and the last of consecutive numbers."""

MAX_MISSING = 100
"""Gaps told to a logger at once; the next acknowledgement names the next ones."""
MAX_LOOKED_AT = MAX_MISSING + 1


class Acknowledgement(NamedTuple):
    """What is stored, or kept as refused, of one restart of a logger."""

    device_id: str
    boot: int
    ranges: Sequence[Range]
    """At least the lowest MAX_LOOKED_AT ranges: ascending, with a gap between any two."""

    def content(self) -> Mapping[str, Any]:
        """Give the message: every reading up to `highest` is here, but for those that are `missing`.

        `through` is the highest `seq` up to which nothing is missing, -1 where that starts with the first. With more
        gaps than a message names, `highest` ends before the first that is not named.
        """
        first, last = self.ranges[0]
        missing = [] if first == 0 else [(0, first - 1)]
        highest = last
        for start, end in self.ranges[1:]:
            if len(missing) == MAX_MISSING:
                break
            missing.append((highest + 1, start - 1))
            highest = end
        through = last if first <= 1 else -1
        return {"boot": self.boot, "through": through, "missing": missing, "highest": highest}


def ranges(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Join numbers, in any order and as often as they come, to ascending ranges with gaps between them."""
    ordered = sorted(set(seqs))
    if not ordered:
        return []
    # The usual case at once: consecutive readings.
    if ordered[-1] - ordered[0] == len(ordered) - 1:
        return [(ordered[0], ordered[-1])]
    gaps = [(before, after) for before, after in pairwise(ordered) if after != before + 1]
    starts = [ordered[0], *(after for _, after in gaps)]
    ends = [*(before for before, _ in gaps), ordered[-1]]
    return list(zip(starts, ends, strict=True))
