"""Pure: which temperatures are no measurement, though they are numbers.

A sensor that has measured nothing often gives a value of its own: 85 °C after a reset of a DS18B20, −127 °C where its
driver does not find it. Such a reading is disowned: like one of a broken probe it is part of no run, holds for no time and is
in no figure. It is counted apart, and raises `probe_fault`.

Only these exact values are. What lies beside them is judged, however absurd it looks: a box for 2 to 8 °C may have been packed
with dry ice, or stand in the sun. A payload that truly passes 85 °C loses one reading of many.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.plan import Plan

RESET_C: Final = 85.0
NOT_FOUND_C: Final = -127.0
_KEPT_HOT_C: Final = 65.0
"""With a limit above this, 85 °C can be true."""
_IN_NITROGEN_C, _FROZEN_C = -100.0, -20.0


@lru_cache(maxsize=1024)
def disowned_values(plan: Plan) -> frozenset[float]:
    """Return the temperatures, in °C, that are disowned of a plan's payload."""
    limits = plan.limits
    known = [
        limit
        for limit in (limits.lower_c, limits.upper_c, limits.critical_low_c, limits.critical_high_c)
        if limit is not None
    ]
    frozen_without_end = limits.lower_c is None and limits.upper_c is not None and limits.upper_c <= _FROZEN_C
    may_be_in_nitrogen = min(known) <= _IN_NITROGEN_C or frozen_without_end
    found = set() if max(known) > _KEPT_HOT_C else {RESET_C}
    return frozenset(found if may_be_in_nitrogen else {*found, NOT_FOUND_C})


def are_disowned(plan: Plan, celsius: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which temperatures of a column are disowned."""
    found = np.zeros(len(celsius), np.bool_)
    for value in disowned_values(plan):
        found |= celsius == value
    return found
