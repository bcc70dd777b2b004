"""Pure: what the clock of a logger shows: its drift, and what faults and people do to it."""

import numpy as np

from simulators.arrays import Floats
from simulators.loggers.faults import faults_of
from simulators.loggers.instrument import DAY_S, Instrument

# A tuning-fork quartz is fastest at 25 °C. Data sheets of 32.768 kHz crystals give -0.034 ppm for each K²
# away from it.
TURNOVER_C = 25.0
PARABOLA_PER_K2 = -0.034e-6


def shown_s(instrument: Instrument, at_s: Floats, chill_k2_s: Floats | None = None) -> Floats:
    """Return what the logger's clock shows at true instants, in seconds of journey time.

    `chill_k2_s` is the integral of (T - 25 °C)² over time since the logger was switched on, in K²·s; None
    means a clock that was at 25 °C all the time.
    """
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
