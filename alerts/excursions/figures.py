"""Pure: what a trace adds up to: observed time, budget, extremes and mean kinetic temperature."""

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

    `readings` also counts those of a broken probe, and `disowned` those whose temperature is none
    (disowned.py). Temperatures are of the valid readings, and `mean_c`
    is their arithmetic mean; None if there are none.
    """

    in_range: Duration
    out_of_range: Duration
    unobserved: Duration
    budget_used: Duration
    budget_exhausted_at: Instant | None
    readings: int
    disowned: int
    min_c: float | None
    max_c: float | None
    mean_c: float | None
    mkt_c: float | None


def exhaustion(budget: Duration, used: Duration, start: Instant) -> Instant:
    """Return when a run from `start` on exhausts a budget of which earlier runs used `used`.

    A budget of 0 tolerates no time at all: the start of the first run exhausts it.
    """
    return start + budget - used


# Mean kinetic temperature (USP <1079.2>): T_K = (ΔH/R) / -ln(Σ exp(-ΔH/(R·T)) / n), here with each term
# weighted by how long its reading held. As written, the sum underflows to 0 below about 13 K. So it is kept
# relative to the warmest temperature so far: it is then at least 1 and its logarithm always exists.


def delta_h_over_r(plan: Plan) -> float:
    """Return ΔH/R in kelvin."""
    return plan.delta_h_kj_mol / GAS_CONSTANT_KJ_MOL_K


def add_exp_terms(
    delta_h_over_r_k: float, exp_sum: float, warmest_c: float, held: Iterable[tuple[float, Duration]]
) -> tuple[float, float]:
    """Add readings, in °C with how long each held, to `exp_sum`; start from 0.0 and COLDEST_C.

    Returns (exp_sum, warmest_c).
    """
    reference = delta_h_over_r_k / (warmest_c - COLDEST_C) if warmest_c > COLDEST_C else 0.0
    for celsius, hold in held:
        if not hold or celsius <= COLDEST_C:  # at 0 K the term is 0
            continue
        exponent = delta_h_over_r_k / (celsius - COLDEST_C)
        if celsius > warmest_c:
            exp_sum *= _exp_ratio(delta_h_over_r_k, warmest_c, celsius)
            warmest_c, reference = celsius, exponent
        exp_sum += hold * exp(reference - exponent)
    return exp_sum, warmest_c


def add_exp_terms_by_segment(
    delta_h_over_r_k: float,
    exp_sum: float,
    warmest_c: float,
    celsius: NDArray[np.float64],
    holds: NDArray[np.int64],
    starts: Sequence[int],
) -> list[tuple[float, float]]:
    """Add segments of readings, each held for `holds` >= 0, to a sum; return (exp_sum, warmest_c) after each.

    `starts` are the first places of the segments, none of which is empty.
    """
    celsius = np.where(holds > 0, celsius, COLDEST_C)  # at which the term is 0
    warmest = np.maximum.accumulate(np.maximum(np.maximum.reduceat(celsius, starts), warmest_c))
    with np.errstate(divide="ignore"):  # at 0 K the exponent is infinite, and the term 0
        reference = np.where(warmest > COLDEST_C, delta_h_over_r_k / (warmest - COLDEST_C), 0)
        exponents = delta_h_over_r_k / (celsius - COLDEST_C)
    lengths = np.diff(starts, append=len(celsius))
    terms = np.add.reduceat(np.exp(np.repeat(reference, lengths) - exponents) * holds, starts)
    sums = []
    for new, new_warmest_c in zip(terms.tolist(), warmest.tolist(), strict=True):
        if new_warmest_c > warmest_c:
            exp_sum, warmest_c = (
                exp_sum * _exp_ratio(delta_h_over_r_k, warmest_c, new_warmest_c),
                new_warmest_c,
            )
        exp_sum += new
        sums.append((exp_sum, warmest_c))
    return sums


def _exp_ratio(delta_h_over_r_k: float, celsius: float, warmest_c: float) -> float:
    """Return the term of a temperature divided by that of a temperature at least as warm (Arrhenius)."""
    if celsius <= COLDEST_C:  # at 0 K the term is 0, and dividing by it fails
        return 0.0
    return exp(delta_h_over_r_k / (warmest_c - COLDEST_C) - delta_h_over_r_k / (celsius - COLDEST_C))


def mean_kinetic_c(plan: Plan, exp_sum: float, warmest_c: float, held: Duration) -> float | None:
    """Return the mean kinetic temperature in °C of readings that held for `held` in total.

    None if the plan has no such temperature or nothing has held yet. Source: USP <1079.2>.
    """
    if not plan.has_mkt or held == 0:
        return None
    if warmest_c <= COLDEST_C:
        return COLDEST_C
    delta_h_over_r_k = delta_h_over_r(plan)
    return delta_h_over_r_k / (delta_h_over_r_k / (warmest_c - COLDEST_C) - log(exp_sum / held)) + COLDEST_C
