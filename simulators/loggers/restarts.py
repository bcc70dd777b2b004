"""Pure: how a logger numbers its readings over restarts."""

import numpy as np

from simulators.arrays import Bools, Ints
from simulators.loggers.faults import LoggerFault, faults_of
from simulators.loggers.instrument import Instrument


def restart_ticks(instrument: Instrument) -> list[int]:
    """Return the first tick after each restart, in order."""
    return [instrument.first_tick(fault.until_s) for fault in _reboots(instrument)]


def number_readings(instrument: Instrument, ticks: Ints) -> tuple[Ints, Ints, Bools]:
    """Return for each tick the boot, the number since that boot, and whether the logger was running."""
    firsts = np.array([0, *restart_ticks(instrument)], dtype=np.int64)
    boot = np.searchsorted(firsts[1:], ticks, side="right").astype(np.int64)
    running = np.ones(len(ticks), dtype=np.bool_)
    for fault in _reboots(instrument):
        running &= ~(
            (ticks >= instrument.first_tick(fault.from_s)) & (ticks < instrument.first_tick(fault.until_s))
        )
    return boot, ticks - firsts[boot], running


def _reboots(instrument: Instrument) -> list[LoggerFault]:
    reboots = faults_of(instrument.faults, "reboot")
    return sorted((f for f in reboots if f.until_s > instrument.on_s), key=lambda fault: fault.until_s)
