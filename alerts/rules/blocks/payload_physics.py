"""Pure: which temperature changes a payload can physically make, whatever happens to its shipper."""

from functools import lru_cache
from math import exp
from typing import NamedTuple

from alerts.excursions.plan import Plan
from alerts.model import SECOND, Duration

MINUTE: Duration = 60 * SECOND
WARMEST_AROUND_C = 35.0
"""The least air temperature to assume around a shipper, also where nothing measures it: a tarmac is hotter
than the air."""


class Coolant(NamedTuple):
    """What keeps a payload cold: the lowest possible temperature in °C, and time constants in minutes.

    A change of at most `floor_c` is always believed. A larger one must obey Newton's law with the
    shortest time constants that exist: warming towards the air around as if the payload lay in it, and
    cooling towards the coolant as if it were poured over it.
    """

    coldest_c: float
    floor_c: float
    warms_min: float
    cools_min: float


# Nitrogen boils at −195.8 °C, in a pressurized cabin at −198 °C, and probes are off by some 0.5 °C.
NITROGEN = Coolant(-199.5, 10.0, 15.0, 3.0)
# Dry ice is at −78.5 °C; −100.6 °C was measured under forced air (PDA J Pharm Sci Technol 2019, doi
# 10.5731/pdajpst.2018.009589).
DRY_ICE = Coolant(-110.0, 6.0, 20.0, 10.0)
# Packs come out of a freezer at −25 °C at the coldest, and a shipper may stand in a Siberian winter.
PACKS = Coolant(-60.0, 4.0, 30.0, 30.0)


@lru_cache(maxsize=1024)
def coolant_of(plan: Plan) -> Coolant:
    """Return the coolant that a plan needs; a frozen payload without a lower limit may be in nitrogen."""
    warmest = plan.limits.upper_c if plan.limits.upper_c is not None else plan.limits.lower_c
    assert warmest is not None  # every plan has a limit
    if warmest <= -100:
        return NITROGEN
    if warmest <= -20:
        return DRY_ICE if plan.limits.lower_c is not None else DRY_ICE._replace(coldest_c=NITROGEN.coldest_c)
    return PACKS


def is_impossible(
    coolant: Coolant, before_c: float, after_c: float, ambient_c: float, elapsed: Duration
) -> bool:
    """Return whether no payload can make this change in the elapsed time; `ambient_c` may be NaN."""
    change = after_c - before_c
    if -coolant.floor_c <= change <= coolant.floor_c:
        return False
    minutes = elapsed / MINUTE
    if change > 0:
        ambient = max(WARMEST_AROUND_C, ambient_c)  # NaN is not more
        possible = max(ambient - before_c, 0.0) * (1 - exp(-minutes / coolant.warms_min))
    else:
        possible = max(before_c - coolant.coldest_c, 0.0) * (1 - exp(-minutes / coolant.cools_min))
    return abs(change) > coolant.floor_c + possible
