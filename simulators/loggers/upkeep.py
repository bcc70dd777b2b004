"""Pure: a logger's clock, battery, counters and memory, and what faults do to them."""

from collections.abc import Iterable

import numpy as np

from simulators.arrays import Bools, Floats, Ints
from simulators.loggers.equipment import DAY_S, Instrument
from simulators.loggers.faults import Fault, of_kind

TURNOVER_C = 25.0
PARABOLA_PER_K2 = -0.034e-6
"""How much slower a tuning-fork quartz runs for each K² away from 25 °C: the typical coefficient of data sheets of
32.768 kHz crystals, -0.034 ppm/K²."""

FULL_CAPACITY_C = 20.0
CAPACITY_LOST_PER_K = 0.00625
LEAST_CAPACITY = 0.4
"""Primary lithium cells give about three quarters of their capacity at −20 °C and work down to −40 °C with less
(Energizer, Lithium Iron Disulfide Handbook and Application Manual, shows the fall); here it is a straight line."""


def chill(at_s: Floats, logger_c: Floats) -> Floats:
    """Integrate (T − 25 °C)² over time by the trapezoid rule: what the clock's loss is proportional to, in K²·s."""
    squared = (logger_c - TURNOVER_C) ** 2
    steps = (squared[1:] + squared[:-1]) / 2 * np.diff(at_s)
    return np.concatenate((np.zeros(1), np.cumsum(steps, dtype=np.float64)))


def measured_s(instrument: Instrument, at_s: Floats, chill_k2_s: Floats | None = None) -> Floats:
    """Return what the logger's clock shows at true instants: drift by quartz, then what people and faults do to it."""
    elapsed_s = at_s - instrument.on_s
    shown = at_s + elapsed_s * (instrument.drift_s_per_day / DAY_S)
    if chill_k2_s is not None:
        shown = shown + PARABOLA_PER_K2 * chill_k2_s
    for fault in of_kind(instrument.faults, "clock_drift"):
        shown = shown + fault.lasted_s(at_s) * (fault.level / DAY_S)
    for fault in of_kind(instrument.faults, "duplicate_timestamps"):
        step_s = fault.level * instrument.interval_s
        shown = np.where(fault.acts(at_s), np.floor(shown / step_s) * step_s, shown)
    for fault in of_kind(instrument.faults, "zone_mistake"):
        shown = np.where(fault.acts(at_s), shown + 3600.0 * fault.level, shown)
    return shown


def battery_pct(instrument: Instrument, at_s: Floats, logger_c: Floats) -> Floats:
    """Return what is left of the battery: what has been used, of what it can give at this temperature."""
    used = (
        100 - instrument.charge_pct + 100 * (at_s - instrument.on_s) / (instrument.model.battery_days * DAY_S)
    )
    for fault in of_kind(instrument.faults, "battery_weak"):
        used = used + fault.level * fault.lasted_s(at_s) / DAY_S
    cold_k = np.maximum(0.0, FULL_CAPACITY_C - logger_c)
    capacity = np.maximum(LEAST_CAPACITY, 1 - CAPACITY_LOST_PER_K * cold_k)
    return np.clip(100 - used / capacity, 0.0, 100.0)


def overwritten(ticks: Ints, silences: Iterable[tuple[int, int]], memory: int) -> Bools:
    """Return which readings are gone because so many came after them while nothing could be sent.

    `silences` are first and last tick of each stretch in which the logger had no connection; of each, the newest
    `memory` readings are kept.
    """
    lost = np.zeros(len(ticks), dtype=np.bool_)
    for first, last in silences:
        lost |= (ticks >= first) & (ticks <= last - memory)
    return lost


def tick_of(instrument: Instrument, boot: int, seq: int) -> int:
    """Return which reading a logger numbered so after so many restarts."""
    return ([0, *_restarts(instrument)])[boot] + seq


def _restarts(instrument: Instrument) -> list[int]:
    """Return the first tick of each boot after the first."""
    return [instrument.first_tick(fault.until_s) for fault in _reboots(instrument)]


def _reboots(instrument: Instrument) -> list[Fault]:
    reboots = of_kind(instrument.faults, "reboot")
    return sorted((f for f in reboots if f.until_s > instrument.on_s), key=lambda fault: fault.until_s)


def counted(instrument: Instrument, ticks: Ints) -> tuple[Ints, Ints, Bools]:
    firsts = np.array([0, *_restarts(instrument)], dtype=np.int64)
    boot = np.searchsorted(firsts[1:], ticks, side="right").astype(np.int64)
    running = np.ones(len(ticks), dtype=np.bool_)
    for fault in _reboots(instrument):
        running &= ~(
            (ticks >= instrument.first_tick(fault.from_s)) & (ticks < instrument.first_tick(fault.until_s))
        )
    return boot, ticks - firsts[boot], running


def overflowed(instrument: Instrument, ticks: Ints) -> Bools:
    lost = np.zeros(len(ticks), dtype=np.bool_)
    for fault in of_kind(instrument.faults, "memory_overflow"):
        stretch = (instrument.first_tick(fault.from_s), instrument.first_tick(fault.until_s) - 1)
        lost |= overwritten(ticks, [stretch], int(fault.level))
    return lost
