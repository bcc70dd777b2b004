"""Pure: the noise of `simulators.world.noise` for many ticks at once; the same bits, and the same floats, as one by one."""

import numpy as np
import numpy.typing as npt

from simulators.arrays import Floats, Ints

_TICK, _CHANNEL = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
_MASK = (1 << 64) - 1


def mixed(key: int, ticks: Ints, channel: int) -> npt.NDArray[np.uint64]:
    """Return 64 well-mixed bits for each tick of a channel: the finalizer of splitmix64 (Steele et al., 2014)."""
    offset = np.uint64((key + channel * _CHANNEL) & _MASK)
    with np.errstate(over="ignore"):
        z = np.asarray(ticks).astype(np.uint64) * np.uint64(_TICK) + offset
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits: npt.NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return bits


def uniform(key: int, ticks: Ints, channel: int) -> Floats:
    """Return a number from 0 up to 1 for each tick."""
    return mixed(key, ticks, channel).astype(np.float64) / 2.0**64


def gauss(key: int, ticks: Ints, channel: int) -> Floats:
    """Return a number of mean 0 and deviation 1 for each tick, never beyond 3.5."""
    z = mixed(key, ticks, channel)
    low = np.uint64(0xFFFF)
    total = sum((z >> np.uint64(shift) & low).astype(np.float64) for shift in (0, 16, 32, 48))
    return np.asarray((total / 65535 - 2) * 1.7320508, dtype=np.float64)
