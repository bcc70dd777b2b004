"""Pure: what a trace sums up to: time proof, budget, extremes and mean kinetic temperature."""

from dataclasses import dataclass
from math import exp, log

from alerts.model import COLDEST_C, Duration, Instant
from alerts.plan import Plan

GAS_CONSTANT_KJ_MOL_K = 8.3144e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One device's figures over the window so far; the first three durations add up to exactly its length.

    Temperatures are those of the valid readings, `mean_c` their plain mean; None where there is nothing to tell.
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


def exhaustion(plan: Plan, used: Duration, start: Instant) -> Instant | None:
    """Give the instant at which a run from `start` on uses up what runs before it have left of the budget.

    A budget of 0 tolerates no time at all: it is exhausted by the start of the first run.
    """
    return None if plan.budget is None else start + plan.budget - used


# Σ w·exp(-ΔH/(R·T)), scaled by exp(ΔH/(R·T)) of the warmest temperature weighed so far and given together with it:
# unscaled, the sum is 0 in floats for anything colder than about 13 K, and its logarithm a fault.
@dataclass(frozen=True, slots=True, kw_only=True)
class Arrhenius:
    sum: float = 0.0
    warmest_c: float = COLDEST_C


def weigh(plan: Plan, weighed: tuple[float, float], celsius: float, hold: Duration) -> tuple[float, float]:
    """x"""
