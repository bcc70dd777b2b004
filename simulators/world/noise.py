"""Pure: noise that depends on a counter only, so that any reading can be computed without the ones before it.

A tick is the number of a reading; every use of noise has a channel of its own. The bits come from the
finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import Floats, Ints

_TICK, _CHANNEL = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
_MULTIPLY_1, _MULTIPLY_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def uniform(key: int, ticks: Ints, channel: int) -> Floats:
    """Return a number from 0 up to 1 for each tick."""
    return _bits(key, ticks, channel).astype(np.float64) / 2.0**64


def gauss(key: int, ticks: Ints, channel: int) -> Floats:
    """Return a number of mean 0 and deviation 1 for each tick, as the sum of four uniform 16-bit numbers.

    It is never beyond ±3.5.
    """
    z = _bits(key, ticks, channel)
    low = np.uint64(0xFFFF)
    total = sum((z >> np.uint64(shift) & low).astype(np.float64) for shift in (0, 16, 32, 48))
    return np.asarray((total / 65535 - 2) * 1.7320508, dtype=np.float64)


def uniform_at(key: int, tick: int, channel: int) -> float:
    """Return the number that `uniform` returns for this tick.

    For single numbers this is twenty times as fast.
    """
    z = (key + tick * _TICK + channel * _CHANNEL) & _MASK
    z = ((z ^ (z >> 30)) * _MULTIPLY_1) & _MASK
    z = ((z ^ (z >> 27)) * _MULTIPLY_2) & _MASK
    return (z ^ (z >> 31)) / 2**64


def _bits(key: int, ticks: Ints, channel: int) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for each tick."""
    offset = np.uint64((key + channel * _CHANNEL) & _MASK)
    with np.errstate(over="ignore"):
        z = np.asarray(ticks).astype(np.uint64) * np.uint64(_TICK) + offset
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_MULTIPLY_1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_MULTIPLY_2)
    bits: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return bits
