"""Pure: how much of a logger's battery is left."""

import numpy as np

from simulators.arrays import Floats
from simulators.loggers.faults import faults_of
from simulators.loggers.instrument import DAY_S, Instrument

# Primary lithium cells give about three quarters of their capacity at −20 °C, and work down to −40 °C with
# less (Energizer, Lithium Iron Disulfide Handbook and Application Manual). The simulation takes a straight
# line.
FULL_CAPACITY_C = 20.0
CAPACITY_LOST_PER_K = 0.00625
LEAST_CAPACITY = 0.4


def battery_pct(instrument: Instrument, at_s: Floats, logger_c: Floats) -> Floats:
    """Return what is left of the battery in %, at the capacity that it has at this temperature."""
    used = (
        100 - instrument.charge_pct + 100 * (at_s - instrument.on_s) / (instrument.model.battery_days * DAY_S)
    )
    for fault in faults_of(instrument.faults, "battery_weak"):
        used = used + fault.level * fault.lasted_s(at_s) / DAY_S
    cold_k = np.maximum(0.0, FULL_CAPACITY_C - logger_c)
    capacity = np.maximum(LEAST_CAPACITY, 1 - CAPACITY_LOST_PER_K * cold_k)
    return np.clip(100 - used / capacity, 0.0, 100.0)
