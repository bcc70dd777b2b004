"""Pure: what a logger's clock shows."""

import numpy as np

from simulators.arrays import Floats
from simulators.loggers.faults import faults_of
from simulators.loggers.instrument import DAY_S, Instrument

TURNOVER_C = 25.0
PARABOLA_PER_K2 = -0.034e-6
"""How much slower a tuning-fork quartz runs for each K² away from 25 °C: the typical coefficient of data sheets of
32.768 kHz crystals, -0.034 ppm/K²."""


def chill(at_s: Floats, logger_c: Floats) -> Floats:
    """Integrate (T − 25 °C)² over time by the trapezoid rule: what the clock's loss is proportional to, in K²·s."""
    squared = (logger_c - TURNOVER_C) ** 2
    steps = (squared[1:] + squared[:-1]) / 2 * np.diff(at_s)
    return np.concatenate((np.zeros(1), np.cumsum(steps, dtype=np.float64)))


def shown_s(instrument: Instrument, at_s: Floats, chill_k2_s: Floats | None = None) -> Floats:
    """Return what the logger's clock shows at true instants: drift by quartz, then what people and faults do to it."""
    elapsed_s = at_s - instrument.on_s
    shown = at_s + elapsed_s * (instrument.drift_s_per_day / DAY_S)
    if chill_k2_s is not None:
        shown = shown + PARABOLA_PER_K2 * chill_k2_s
    for fault in faults_of(instrument.faults, "clock_drift"):
        shown = shown + fault.lasted_s(at_s) * (fault.level / DAY_S)
    for fault in faults_of(instrument.faults, "duplicate_timestamps"):
        step_s = fault.level * instrument.interval_s
        shown = np.where(fault.acts(at_s), np.floor(shown / step_s) * step_s, shown)
    for fault in faults_of(instrument.faults, "zone_mistake"):
        shown = np.where(fault.acts(at_s), shown + 3600.0 * fault.level, shown)
    return shown
