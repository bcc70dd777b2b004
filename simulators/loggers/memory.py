"""Pure: which readings a logger has overwritten because its memory was full."""

from collections.abc import Iterable

import numpy as np

from simulators.arrays import Bools, Ints
from simulators.loggers.faults import faults_of
from simulators.loggers.instrument import Instrument


def overwritten(ticks: Ints, silences: Iterable[tuple[int, int]], memory: int) -> Bools:
    """Whether each reading is lost because too many followed it while nothing could be sent.

    `silences` holds the first and the last tick of every stretch without a connection. The newest `memory`
    readings of each are kept.
    """
    lost = np.zeros(len(ticks), dtype=np.bool_)
    for first, last in silences:
        lost |= (ticks >= first) & (ticks <= last - memory)
    return lost


def overflowed(instrument: Instrument, ticks: Ints) -> Bools:
    """Whether each reading is lost to a fault `memory_overflow` of the logger."""
    lost = np.zeros(len(ticks), dtype=np.bool_)
    for fault in faults_of(instrument.faults, "memory_overflow"):
        stretch = (instrument.first_tick(fault.from_s), instrument.first_tick(fault.until_s) - 1)
        lost |= overwritten(ticks, [stretch], int(fault.level))
    return lost
