"""Pure: the readings of a journey as MQTT payloads."""

import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import orjson

from simulators.journeys.journey import Journey, pack_away
from simulators.journeys.observed import readings

# Readings are computed in blocks of this size: a block costs little more than one reading, and the next ones
# are needed soon. The last block of each journey is kept, compressed to about 1.3 kB, a sixth of its size.
BLOCK = 32
COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class _PayloadBlock:
    """A block of readings, joined and compressed, and where each of them ends."""

    number: int
    lines: bytes
    ends: "array[int]"


def payload(journey: Journey, ticks: Sequence[int]) -> bytes:
    """Return the payload that carries these readings: one as an object, several as an array."""
    if len(ticks) > BLOCK:
        return orjson.dumps(readings(journey, ticks))
    blocks = groupby(ticks, key=lambda tick: tick // BLOCK)
    each = [one for block, some in blocks for one in _from_block(journey, block, some)]
    return each[0] if len(each) == 1 else b"[" + b",".join(each) + b"]"


def _from_block(journey: Journey, block: int, ticks: Iterable[int]) -> Iterator[bytes]:
    """Yield readings of a block, each as it is sent."""
    known: _PayloadBlock | None = vars(journey).get("_block")
    if known is None or known.number != block:
        known = _compute_block(journey, block)
        vars(journey)["_block"] = known
        if journey.packed_away:
            pack_away(journey)
    lines, ends = zlib.decompress(known.lines), known.ends
    for tick in ticks:
        row = tick % BLOCK
        yield lines[ends[row - 1] if row else 0 : ends[row]]


def _compute_block(journey: Journey, block: int) -> _PayloadBlock:
    ticks = np.arange(block * BLOCK, (block + 1) * BLOCK)
    each = [orjson.dumps(sent) for sent in readings(journey, ticks)]
    ends = array("H", accumulate(len(one) for one in each))
    return _PayloadBlock(block, zlib.compress(b"".join(each), COMPRESSION), ends)
