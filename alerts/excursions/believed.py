"""Pure: which temperatures of a payload are believed at all, by what can be around it.

A sensor that has measured nothing often gives a number all the same: 85 °C after a reset of a DS18B20, −127 °C where its
driver does not find it, and whatever an open lead comes to. A reading beyond what is believed is disowned: like one of a
broken probe it is part of no run, holds for no time and is in no figure. It is counted apart, and raises `probe_fault`.

The range is wide on purpose. What a wrong box, a wrong coolant, a fire brigade or the sun can do to a payload is judged.
"""

from functools import lru_cache
from math import inf, nextafter
from typing import Final

from alerts.excursions.plan import Plan
from alerts.model import COLDEST_C, HOTTEST_C

TOO_HOT_C: Final = 85.0
"""From here on no payload is, unless it is kept hot: the reset value, and more than a closed vehicle in the sun reaches."""
TOO_COLD_C: Final = -127.0
"""Down to here nothing comes without nitrogen: the value of a sensor that is not found; dry ice ends at −110 °C."""
_KEPT_HOT_C: Final = 65.0
"""With a limit above this, 85 °C can be true."""
_IN_NITROGEN_C, _FROZEN_C = -100.0, -20.0


@lru_cache(maxsize=1024)
def believed_range(plan: Plan) -> tuple[float, float]:
    """Return the lowest temperature that is believed of a plan's payload, and the first one above all that are, in °C."""
    limits = plan.limits
    known = [
        limit
        for limit in (limits.lower_c, limits.upper_c, limits.critical_low_c, limits.critical_high_c)
        if limit is not None
    ]
    frozen_without_end = limits.lower_c is None and limits.upper_c is not None and limits.upper_c <= _FROZEN_C
    may_be_in_nitrogen = min(known) <= _IN_NITROGEN_C or frozen_without_end
    return (
        COLDEST_C if may_be_in_nitrogen else nextafter(TOO_COLD_C, inf),
        nextafter(HOTTEST_C, inf) if max(known) > _KEPT_HOT_C else TOO_HOT_C,
    )
