"""Pure: which readings a full memory has overwritten."""

from collections.abc import Iterable

import numpy as np

from simulators.arrays import Bools, Ints
from simulators.loggers.faults import faults_of
from simulators.loggers.instrument import Instrument


def overwritten(ticks: Ints, silences: Iterable[tuple[int, int]], memory: int) -> Bools:
    """Return which readings are gone because so many came after them while nothing could be sent.

    `silences` are first and last tick of each stretch in which the logger had no connection; of each, the newest
    `memory` readings are kept.
    """
    lost = np.zeros(len(ticks), dtype=np.bool_)
    for first, last in silences:
        lost |= (ticks >= first) & (ticks <= last - memory)
    return lost


def overflowed(instrument: Instrument, ticks: Ints) -> Bools:
    lost = np.zeros(len(ticks), dtype=np.bool_)
    for fault in faults_of(instrument.faults, "memory_overflow"):
        stretch = (instrument.first_tick(fault.from_s), instrument.first_tick(fault.until_s) - 1)
        lost |= overwritten(ticks, [stretch], int(fault.level))
    return lost
