"""Pure: a plain batch evaluation of one logger's readings against a plan. Tests hold the engine against it.

It is written from the definition of an excursion alone, and deliberately simple: sort, walk through once, add
up. All times are datetimes and timedeltas, which Python computes in whole microseconds; nothing here rounds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Literal

Side = Literal["high", "low"]
EndedBy = Literal["recovery", "reversal", "delivery"]
Severity = Literal["critical", "major"]

ACTIVATION_K = 83.144 / 8.3144e-3  # ΔH/R in kelvin, USP <1079.2>
KELVIN = 273.15
RESET_C, NOT_FOUND_C = 85.0, -127.0  # what sensors say that have measured nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class TruePlan:
    """A shipment's plan as the evaluation needs it: limits in °C, durations in seconds, and the window."""

    lower_c: float | None
    upper_c: float | None
    critical_low_c: float | None
    critical_high_c: float | None
    deadband_c: float
    on_delay_s: float
    budget_s: float | None
    max_gap_s: float
    departed_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrueReading:
    """One reading as the evaluation takes it."""

    measured_at: datetime
    temperature_c: float | None
    probe_ok: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueExcursion:
    """One excursion as the definition has it."""

    side: Side
    start: datetime
    end: datetime | None
    ended_by: EndedBy | None
    peak_c: float
    severity: Severity
    has_gap: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueSummary:
    """The figures of one logger: durations in microseconds, temperatures in °C."""

    in_range_us: int
    out_of_range_us: int
    unobserved_us: int
    budget_used_us: int
    budget_exhausted_at: datetime | None
    min_c: float | None
    max_c: float | None
    mean_c: float | None
    mkt_c: float | None
    readings: int
    disowned: int = 0


@dataclass(frozen=True, slots=True)
class _Sample:
    at: datetime
    celsius: float


@dataclass(frozen=True, slots=True)
class _Run:
    side: Side
    samples: list[_Sample]
    until: datetime  # the end of the run; of an open run, the time up to which it has lasted
    ended_by: EndedBy | None

    @property
    def start(self) -> datetime:
        return self.samples[0].at

    @property
    def length(self) -> timedelta:
        return self.until - self.start


def true_excursions(plan: TruePlan, readings: Iterable[TrueReading], now: datetime) -> list[TrueExcursion]:
    """Return the excursions of one logger as of `now`, in order.

    The readings may be in any order; of several at one instant, the first counts.
    """
    window = _window(plan, readings)
    on_delay = timedelta(seconds=plan.on_delay_s)
    runs = _runs(plan, _valid(plan, window), _until(plan, window, now))
    return [_excursion(plan, run) for run in runs if run.length >= on_delay]


def true_summary(plan: TruePlan, readings: Iterable[TrueReading], now: datetime) -> TrueSummary:
    """Return the figures of one logger as of `now`.

    `readings` counts all readings in the window, `disowned` those whose temperature is none. `min_c`, `max_c` and
    `mean_c` (arithmetic) are over the valid ones.
    """
    window = _window(plan, readings)
    valid = _valid(plan, window)
    until = _until(plan, window, now)
    runs = _runs(plan, valid, until)
    holds = _holds(plan, valid, until)
    out_of_range = sum((holds[sample.at] for run in runs for sample in run.samples), timedelta())
    observed = sum(holds.values(), timedelta())
    celsius = [sample.celsius for sample in valid]
    return TrueSummary(
        in_range_us=_microseconds(observed - out_of_range),
        out_of_range_us=_microseconds(out_of_range),
        unobserved_us=_microseconds(until - plan.departed_at - observed),
        budget_used_us=_microseconds(sum((run.length for run in runs), timedelta())),
        budget_exhausted_at=_exhausted_at(plan, runs),
        min_c=min(celsius, default=None),
        max_c=max(celsius, default=None),
        mean_c=math.fsum(celsius) / len(celsius) if celsius else None,
        mkt_c=_mean_kinetic_temperature(plan, valid, holds),
        readings=len(window),
        disowned=sum(_is_disowned(plan, reading.temperature_c) for reading in window if _works(reading)),
    )


def _window(plan: TruePlan, readings: Iterable[TrueReading]) -> list[TrueReading]:
    first: dict[datetime, TrueReading] = {}
    for reading in readings:
        first.setdefault(reading.measured_at, reading)
    return [
        first[at]
        for at in sorted(first)
        if plan.departed_at <= at and (plan.delivered_at is None or at < plan.delivered_at)
    ]


def _works(reading: TrueReading) -> bool:
    return reading.probe_ok and reading.temperature_c is not None and -KELVIN <= reading.temperature_c <= 150


def _is_disowned(plan: TruePlan, celsius: float | None) -> bool:
    """Whether it is what a sensor says that has measured nothing."""
    limits = [plan.lower_c, plan.upper_c, plan.critical_low_c, plan.critical_high_c]
    if celsius is None:
        return False
    if celsius == RESET_C:
        return not any(limit is not None and limit > 65 for limit in limits)
    if celsius == NOT_FOUND_C:
        frozen = plan.lower_c is None and plan.upper_c is not None and plan.upper_c <= -20
        return not frozen and not any(limit is not None and limit <= -100 for limit in limits)
    return False


def _valid(plan: TruePlan, window: list[TrueReading]) -> list[_Sample]:
    return [
        _Sample(reading.measured_at, reading.temperature_c)
        for reading in window
        if _works(reading)
        and reading.temperature_c is not None
        and not _is_disowned(plan, reading.temperature_c)
    ]


def _until(plan: TruePlan, window: list[TrueReading], now: datetime) -> datetime:
    # A logger's clock may be a little ahead of ours. Its newest reading has been taken, whatever `now` says.
    now = max([now, plan.departed_at] + [reading.measured_at for reading in window])
    if plan.delivered_at is None:
        return now
    return min(now, max(plan.departed_at, plan.delivered_at))


def _runs(plan: TruePlan, valid: list[_Sample], until: datetime) -> list[_Run]:
    runs: list[_Run] = []
    side: Side | None = None
    samples: list[_Sample] = []
    for sample in valid:
        outside = _outside(plan, sample.celsius)
        if side is None:
            if outside is not None:
                side, samples = outside, [sample]
        elif outside is not None and outside != side:
            runs.append(_Run(side, samples, sample.at, "reversal"))
            side, samples = outside, [sample]
        elif _recovered(plan, side, sample.celsius):
            runs.append(_Run(side, samples, sample.at, "recovery"))
            side = None
        else:
            samples.append(sample)
    if side is not None:
        runs.append(_Run(side, samples, until, "delivery" if until == plan.delivered_at else None))
    return runs


def _outside(plan: TruePlan, celsius: float) -> Side | None:
    if plan.upper_c is not None and celsius > plan.upper_c:
        return "high"
    if plan.lower_c is not None and celsius < plan.lower_c:
        return "low"
    return None


def _recovered(plan: TruePlan, side: Side, celsius: float) -> bool:
    """Whether a reading ends a run.

    Decimals are used because 8.2 - 0.3 is 7.9 to people, but not to floats.
    """
    lower = None if plan.lower_c is None else Decimal(str(plan.lower_c))
    upper = None if plan.upper_c is None else Decimal(str(plan.upper_c))
    deadband, reading = Decimal(str(plan.deadband_c)), Decimal(str(celsius))
    if lower is not None and upper is not None and upper - lower < 2 * deadband:
        middle = (lower + upper) / 2
        return reading <= middle if side == "high" else reading >= middle
    if side == "high":
        assert upper is not None
        return reading <= upper - deadband
    assert lower is not None
    return reading >= lower + deadband


def _excursion(plan: TruePlan, run: _Run) -> TrueExcursion:
    celsius = [sample.celsius for sample in run.samples]
    times = [sample.at for sample in run.samples] + [run.until]
    max_gap = timedelta(seconds=plan.max_gap_s)
    return TrueExcursion(
        side=run.side,
        start=run.start,
        end=None if run.ended_by is None else run.until,
        ended_by=run.ended_by,
        peak_c=max(celsius) if run.side == "high" else min(celsius),
        severity="critical" if any(_is_critical(plan, each) for each in celsius) else "major",
        has_gap=any(later - earlier > max_gap for earlier, later in pairwise(times)),
    )


def _is_critical(plan: TruePlan, celsius: float) -> bool:
    above = plan.critical_high_c is not None and celsius > plan.critical_high_c
    below = plan.critical_low_c is not None and celsius < plan.critical_low_c
    return above or below


def _exhausted_at(plan: TruePlan, runs: list[_Run]) -> datetime | None:
    """Return when the runs have used up the budget; None if they have not."""
    if plan.budget_s is None:
        return None
    left = timedelta(seconds=plan.budget_s)
    for run in runs:
        if run.length >= left:
            return run.start + left
        left -= run.length
    return None


def _holds(plan: TruePlan, valid: list[_Sample], until: datetime) -> dict[datetime, timedelta]:
    """Return how long each reading counts: until the next one, but no longer than the maximum gap."""
    ends = [sample.at for sample in valid[1:]] + [until]
    max_gap = timedelta(seconds=plan.max_gap_s)
    return {sample.at: min(end - sample.at, max_gap) for sample, end in zip(valid, ends, strict=False)}


def _mean_kinetic_temperature(
    plan: TruePlan, valid: Sequence[_Sample], holds: dict[datetime, timedelta]
) -> float | None:
    total = sum(holds.values(), timedelta())
    if plan.lower_c is None or plan.lower_c < 0 or not total:
        return None
    # T_K = (ΔH/R) / -ln(Σ w·exp(-ΔH/(R·T)) / Σ w). The exponent of the warmest reading is taken out of the
    # sum, which would underflow to 0 at the temperatures of nonsensical plans.
    held = [(sample.celsius + KELVIN, holds[sample.at] / total) for sample in valid if holds[sample.at]]
    warmest = max(kelvin for kelvin, _ in held)
    if warmest <= 0:
        return -KELVIN
    terms = [
        weight * math.exp(ACTIVATION_K / warmest - ACTIVATION_K / kelvin)
        for kelvin, weight in held
        if kelvin > 0
    ]
    return ACTIVATION_K / (ACTIVATION_K / warmest - math.log(math.fsum(terms))) - KELVIN


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
