"""Pure: one logger on one journey: its model, clock drift, calibration, charge and faults."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from simulators.arrays import Floats, Ints
from simulators.loggers.faults import LoggerFault
from simulators.loggers.models import LoggerModel
from simulators.world.noise import uniform_at

DAY_S = 86_400.0
DRIFT_S_PER_DAY = (4.0, 11.0)

_OFFSET, _CALIBRATION, _CALIBRATION_2, _CHARGE = range(32, 36)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """One logger on one journey.

    `on_s` is the journey time at which it was switched on and its clock was set. `drift_s_per_day` is what
    its clock gains at 25 °C, negative if it loses. Cold and heat slow it down further.
    """

    key: int
    model: LoggerModel
    on_s: float
    interval_s: float
    drift_s_per_day: float = 0.0
    calibration_c: float = 0.0
    calibration_2_c: float = 0.0
    charge_pct: float = 100.0
    faults: tuple[LoggerFault, ...] = ()

    def at_s(self, ticks: Ints) -> Floats:
        """Return when readings are taken, in true seconds of journey time."""
        return np.asarray(self.on_s + ticks * self.interval_s, dtype=np.float64)

    def first_tick(self, at_s: float) -> int:
        """Return the number of the first reading that is taken at `at_s` or later."""
        return max(0, math.ceil((at_s - self.on_s) / self.interval_s))


def draw_instrument(
    key: int, model: LoggerModel, *, on_s: float, interval_s: float, faults: Iterable[LoggerFault] = ()
) -> Instrument:
    """Draw a logger of a model from a key: calibration, charge, and a clock off by 4 to 11 s a day."""
    share = uniform_at(key, 0, _OFFSET)
    slowest, fastest = DRIFT_S_PER_DAY
    size = slowest + (fastest - slowest) * abs(2 * share - 1)
    return Instrument(
        key=key,
        model=model,
        on_s=on_s,
        interval_s=interval_s,
        drift_s_per_day=size if share > 0.5 else -size,
        calibration_c=model.calibration_c * (2 * uniform_at(key, 0, _CALIBRATION) - 1),
        calibration_2_c=model.calibration_c * (2 * uniform_at(key, 0, _CALIBRATION_2) - 1),
        charge_pct=80 + 20 * uniform_at(key, 0, _CHARGE),
        faults=tuple(faults),
    )
