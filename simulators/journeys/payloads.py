"""Pure: the readings of a journey as messages."""

import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import orjson

from simulators.journeys.journey import Journey, put_away
from simulators.journeys.observed import readings

# So many readings are computed at once where one is asked for: it costs little more, and the next ones come soon.
# Of each journey the last block is kept, compressed to some 1.3 kB: a sixth of its size.
BLOCK = 32
COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class _PayloadBlock:
    """A block's readings one behind the other, compressed, and where each ends in what that was."""

    number: int
    lines: bytes
    ends: "array[int]"


def payload(journey: Journey, ticks: Sequence[int]) -> bytes:
    """Return the message that carries these readings: one as an object, several as an array."""
    if len(ticks) > BLOCK:
        return orjson.dumps(readings(journey, ticks))
    blocks = groupby(ticks, key=lambda tick: tick // BLOCK)
    each = [one for block, some in blocks for one in _some(journey, block, some)]
    return each[0] if len(each) == 1 else b"[" + b",".join(each) + b"]"


def _some(journey: Journey, block: int, ticks: Iterable[int]) -> Iterator[bytes]:
    """Yield readings of a block, each as it is sent."""
    known: _PayloadBlock | None = vars(journey).get("_block")
    if known is None or known.number != block:
        known = _block(journey, block)
        vars(journey)["_block"] = known
        if journey.put_away:
            put_away(journey)
    lines, ends = zlib.decompress(known.lines), known.ends
    for tick in ticks:
        row = tick % BLOCK
        yield lines[ends[row - 1] if row else 0 : ends[row]]


def _block(journey: Journey, block: int) -> _PayloadBlock:
    ticks = np.arange(block * BLOCK, (block + 1) * BLOCK)
    each = [orjson.dumps(sent) for sent in readings(journey, ticks)]
    ends = array("H", accumulate(len(one) for one in each))
    return _PayloadBlock(block, zlib.compress(b"".join(each), COMPRESSION), ends)
