"""Pure: sequence numbers of a logger: which have arrived, and the acknowledgement that names the missing ones.

A counter starts at 0 or at 1, and we do not know which. So if 1 has arrived and 0 has not, `through` counts from 1, and
0 is still named as missing: a logger that has such a reading sends it, and any other has nothing to send.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

SequenceRange: TypeAlias = Sequence[int]
"""Two numbers: the first and the last of consecutive ones."""

MAX_MISSING = 100
"""Gaps named in one acknowledgement; the next acknowledgement names the next ones."""
MAX_RANGES = MAX_MISSING + 1


class Acknowledgement(NamedTuple):
    """Which readings of a logger, since one of its restarts, are stored or kept as refused."""

    device_id: str
    boot: int
    ranges: Sequence[SequenceRange]
    """Ascending, with a gap between any two; at least the lowest MAX_RANGES ranges."""

    def content(self) -> Mapping[str, Any]:
        """Return the message for the ack topic: everything up to `highest` has arrived, except what is `missing`.

        `through` is the highest `seq` up to which nothing is missing; -1 if the first reading is. If there are more
        gaps than a message can name, `highest` ends before the first gap that is left out.
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


def join_ranges(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Join numbers, in any order and with repetitions, into ascending ranges with gaps between them."""
    ordered = sorted(set(seqs))
    if not ordered:
        return []
    # The usual case first: consecutive readings.
    if ordered[-1] - ordered[0] == len(ordered) - 1:
        return [(ordered[0], ordered[-1])]
    gaps = [(before, after) for before, after in pairwise(ordered) if after != before + 1]
    starts = [ordered[0], *(after for _, after in gaps)]
    ends = [*(before for before, _ in gaps), ordered[-1]]
    return list(zip(starts, ends, strict=True))
