"""Pure: what a trace sums up to: time proof, budget, extremes and mean kinetic temperature."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.plan import Plan
from alerts.model import COLDEST_C, Duration, Instant

GAS_CONSTANT_KJ_MOL_K = 8.3144e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One device's figures over the window so far; the first three durations add up to exactly its length.

    `readings` counts those of a broken probe too. Temperatures are those of the valid ones, `mean_c` their plain
    mean; None where there is nothing to tell.
    """

    in_range: Duration
    out_of_range: Duration
    unobserved: Duration
    budget_used: Duration
    budget_exhausted_at: Instant | None
    readings: int
    min_c: float | None
    max_c: float | None
    mean_c: float | None
    mkt_c: float | None


def exhaustion(budget: Duration, used: Duration, start: Instant) -> Instant:
    """Give when a run from `start` on uses up what earlier runs, `used` in all, have left of the budget.

    A budget of 0 tolerates no time at all: the start of the first run exhausts it.
    """
    return start + budget - used


# The mean kinetic temperature needs Σ w·exp(-ΔH/(R·T)). As it stands, that underflows to 0 below about 13 K, so the
# sum is kept relative to the warmest temperature weighed so far: it is at least 1 and its logarithm always exists.


def warmth(plan: Plan) -> float:
    """Give ΔH/R in kelvin."""
    return plan.delta_h_kj_mol / GAS_CONSTANT_KJ_MOL_K


def weigh(
    warmth_k: float, total: float, warmest_c: float, held: Iterable[tuple[float, Duration]]
) -> tuple[float, float]:
    """Add readings, as °C and for how long each held, to a sum, from 0.0 and COLDEST_C on; give (total, warmest_c)."""
    least = warmth_k / (warmest_c - COLDEST_C) if warmest_c > COLDEST_C else 0.0
    for celsius, hold in held:
        if not hold or celsius <= COLDEST_C:  # at 0 K nothing ages
            continue
        exponent = warmth_k / (celsius - COLDEST_C)
        if celsius > warmest_c:
            total *= _rate(warmth_k, warmest_c, celsius)
            warmest_c, least = celsius, exponent
        total += hold * exp(least - exponent)
    return total, warmest_c


def weigh_many(
    warmth_k: float,
    total: float,
    warmest_c: float,
    celsius: NDArray[np.float64],
    holds: NDArray[np.int64],
    starts: Sequence[int],
) -> list[tuple[float, float]]:
    """Add stretches of readings, each of which held for `holds` >= 0, to a sum; give (total, warmest_c) after each.

    `starts` are the first places of the stretches, none of which is empty.
    """
    celsius = np.where(holds > 0, celsius, COLDEST_C)  # at which nothing ages
    warmest = np.maximum.accumulate(np.maximum(np.maximum.reduceat(celsius, starts), warmest_c))
    with np.errstate(divide="ignore"):  # at 0 K the exponent is without bounds, and nothing ages
        least = np.where(warmest > COLDEST_C, warmth_k / (warmest - COLDEST_C), 0)
        exponents = warmth_k / (celsius - COLDEST_C)
    lengths = np.diff(starts, append=len(celsius))
    aged = np.add.reduceat(np.exp(np.repeat(least, lengths) - exponents) * holds, starts)
    sums = []
    for new, new_warmest_c in zip(aged.tolist(), warmest.tolist(), strict=True):
        if new_warmest_c > warmest_c:
            total, warmest_c = total * _rate(warmth_k, warmest_c, new_warmest_c), new_warmest_c
        total += new
        sums.append((total, warmest_c))
    return sums


def _rate(warmth_k: float, celsius: float, warmest_c: float) -> float:
    """Give how fast things age at a temperature, relative to a warmer one or the same (Arrhenius)."""
    if celsius <= COLDEST_C:  # at 0 K nothing ages, and nothing can be divided by it
        return 0.0
    return exp(warmth_k / (warmest_c - COLDEST_C) - warmth_k / (celsius - COLDEST_C))


def mean_kinetic_c(plan: Plan, total: float, warmest_c: float, held: Duration) -> float | None:
    """Give the mean kinetic temperature in °C of readings that `weigh` summed and that held for `held` in all.

    None where the plan refuses it or nothing has held yet. Source: USP <1079.2>.
    """
    if not plan.has_mkt or held == 0:
        return None
    if warmest_c <= COLDEST_C:
        return COLDEST_C
    warmth_k = warmth(plan)
    return warmth_k / (warmth_k / (warmest_c - COLDEST_C) - log(total / held)) + COLDEST_C
