"""Pure: predicts an excursion, and during one that its stability budget will be used up, if nobody acts.

Theory of operation. Readings are folded into bins, and each closed bin gives a trend (`trend.py`). In range,
the trend is compared with the limits: a limit that will soon be reached is reported until the excursion
begins or the trend turns. Out of range, if the product has a stability budget, the excursion will use it up
at a known instant unless the payload recovers before. Runs begin and end exactly at a reading, by the table
in phases.py. Only one of the two can hold at a time, and both answer one question, so they are one alert.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from operator import sub
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alerts import wording
from alerts.excursions.phases import HIGH, IN_RANGE, LOW, PHASES, zones
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.bins import Bin, OpenBin, bin_columns, fold_bins
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.blocks.trend import (
    MAX_POINTS,
    Trend,
    linear_trend,
    surely_meaningless,
    time_until,
    with_decay,
)
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, LookTime, Tuning

_CELSIUS, _AMBIENT = range(2)
_KEPT_LEVELS = MAX_POINTS
_DIGITS = 4
"""Levels are means, and further digits mean nothing."""
_COLUMNS_FROM = 8
"""From this number of bins on, they are first examined together, in columns."""
_FORGETTING = 1 / 300
"""A payload may return to where it was before; that range shrinks by this share per bin, so within a day or
two."""
_HOUR = 3600 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcursionPredictedTuning(Tuning):
    """Figures are chosen by `make bench-detection`; docs/detection.md has the results."""

    bin_s: float = 300
    horizon_s: float = 6 * 3600
    """An excursion is reported when it is expected within this,"""
    clear_horizon_s: float = 9 * 3600
    """and cleared when it is not expected within this."""
    confirm: float = 2
    """It takes this many bins in a row to report and to clear;"""
    certain: float = 12.0
    """a single one is enough to report if the slope is this many times its standard deviation."""
    sure: float = 4.0
    """The slope must be this many times its standard deviation,"""
    moved: float = 4.0
    """and the payload must have moved by this many times its noise."""
    farthest: float = 3.5
    """A trend is extrapolated by at most this many times its observed span,"""
    box_farthest: float = 1.25
    """and by this many for a payload with two limits: a box settles on a new plateau within hours of each
    change outside."""
    model_sd: float = 0.3
    """How much a trend changes, as a standard deviation of the logarithm of the time it needs."""
    dry_ice_c: float = -77.3
    """Up to here, dry ice warms with the air pressure, as after each flight (-78.5 °C at sea level)."""
    budget_share: float = 0.5
    """The exhaustion of a stability budget is reported when this share of it is used."""
    step_share: float = 0.15
    """A forecast is reported again when it has moved by more than this share of the time left,"""
    step_s: float = 600
    """and by more than this."""


class CurrentRun(NamedTuple):
    """The current run: its phase, as in phases.py, its start, the budget used by earlier runs, and the trend.

    In range, the payload was between `coldest_c` and `warmest_c`. `bins_soon` and `bins_clear` count bins
    in a row that say that a limit is reached soon, or is not. `no_recovery_since` is since when the
    current run is not expected to end before the budget is used up.
    """

    phase: int = IN_RANGE
    since: Instant = 0
    used: Duration = 0
    ambient_c: float | None = None
    coldest_c: float | None = None
    warmest_c: float | None = None
    bins_soon: int = 0
    bins_clear: int = 0
    no_recovery_since: Instant | None = None
    at: Instant = 0
    earliest: Instant = 0
    expected: Instant = 0
    latest: Instant = 0
    side: int = IN_RANGE


class Prediction(NamedTuple):
    """The reported prediction, of an excursion or of the budget's end, with figures that move in steps."""

    since: Instant | None = None
    until: Instant | None = None
    of_budget: bool = False
    at: Instant = 0
    earliest: Instant = 0
    expected: Instant = 0
    latest: Instant = 0
    side: int = IN_RANGE

    @property
    def active(self) -> bool:
        return self.since is not None and self.until is None


_NO_RUN, _NO_PREDICTION = CurrentRun(), Prediction()


@dataclass(frozen=True, slots=True)
class ExcursionPredictedState:
    """The open bin, the levels of the bins before it, the current run, and the reported prediction."""

    bins: OpenBin = ()
    at: tuple[Instant, ...] = ()
    """The first instant, and the difference from each to the next."""
    celsius: tuple[float, ...] = ()
    run: CurrentRun = _NO_RUN
    reported: Prediction = _NO_PREDICTION


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeToLimit:
    """The current forecast, for pages and the API: hours until a limit is reached, as a 90 % interval."""

    limit_c: float
    at: Instant
    hours: tuple[float, float, float]


class ExcursionPredicted(DeviceRule[ExcursionPredictedTuning, ExcursionPredictedState]):
    """The payload will leave its band, or will use up its stability budget."""

    kind: ClassVar[AlertKind] = AlertKind.EXCURSION_PREDICTED
    tuning = ExcursionPredictedTuning
    state = ExcursionPredictedState
    looks_ahead = True
    ranges: ClassVar = {
        "bin_s": (0.05, 3600),
        "horizon_s": (0, 7 * 86400),
        "clear_horizon_s": (0, 14 * 86400),
        "confirm": (1, 100),
        "certain": (1, 1000),
        "sure": (1, 100),
        "moved": (0, 100),
        "farthest": (0.1, 100),
        "box_farthest": (0.1, 100),
        "model_sd": (0, 3),
        "dry_ice_c": (-80, -60),
        "budget_share": (0, 1),
        "step_share": (0, 1),
        "step_s": (0, 86400),
    }

    def fold(
        self, tuning: ExcursionPredictedTuning, facts: Facts, state: ExcursionPredictedState, trace: Trace
    ) -> ExcursionPredictedState:
        """Fold readings into bins and runs, and those into predictions, in order of time."""
        trace = in_transit(facts.window, trace)
        columns = bin_columns(facts.plan, trace, (Channel.AMBIENT_C,))
        celsius = columns[_CELSIUS]
        assert celsius is not None
        bins, closed = fold_bins(round(tuning.bin_s * SECOND), state.bins, trace.at, columns)
        changes = list(_phase_changes(facts.plan, state.run.phase, trace.at, celsius))
        if not closed and not changes:
            return ExcursionPredictedState(bins, state.at, state.celsius, state.run, state.reported)
        run, reported = state.run, state.reported
        levels = _LevelHistory.of(tuning, state, closed)
        for at, bin_, phase in _merge_events(closed, changes):
            if run.phase != IN_RANGE or (reported.of_budget and reported.active):
                reported = _update_budget_prediction(tuning, facts.plan, run, reported, at)
            if bin_ is None:
                run, reported = _change_phase(run, reported, at, phase)
                continue
            ambient_c, level = bin_.trimmed_mean(_AMBIENT), bin_.trimmed_mean(_CELSIUS)
            if ambient_c is None:
                ambient_c = run.ambient_c
            if level is None:
                run = run._replace(ambient_c=ambient_c)
                continue
            dropped = levels.add()
            run = _widen_known_range(run, ambient_c, dropped)
            if run.phase == IN_RANGE and levels.go_nowhere():
                run = _no_limit_ahead(run, bin_.last_at)
            else:
                run = _forecast(tuning, facts.plan, run, *levels.last())
            if run.phase == IN_RANGE and (reported.active or run.bins_soon):
                reported = _update_prediction(tuning, run, reported, bin_.last_at)
        return ExcursionPredictedState(bins, *levels.stored(), run, reported)

    def look(
        self,
        tuning: ExcursionPredictedTuning,
        facts: Facts,
        state: ExcursionPredictedState,
        look_time: LookTime,
    ) -> Look:
        """Report the prediction; that a budget will be used up needs no further reading."""
        plan, run = facts.plan, state.run
        through = look_time.through if look_time.shipment_ended_at is None else look_time.shipment_ended_at
        reported = _update_budget_prediction(tuning, plan, run, state.reported, through)
        changes = _budget_interval(tuning, plan, run) if look_time.shipment_ended_at is None else None
        again_at = min((at for at in changes or () if at > through), default=None)
        if reported.since is None:
            return Look(again_at=again_at) if again_at is not None else NOTHING
        until = reported.until if reported.until is not None else look_time.shipment_ended_at
        found = Finding(
            severity=Severity.CRITICAL if reported.of_budget else Severity.MAJOR,
            message=_message(facts, reported),
            since=reported.since,
            until=None if until is None else max(until, reported.since),
            details=_details(facts, reported),
        )
        return Look(found=found, again_at=again_at)


EXCURSION_PREDICTED = ExcursionPredicted()


def time_to_limit(facts: Facts, state: ExcursionPredictedState, through: Instant) -> TimeToLimit | None:
    """Return the forecast as of an instant; None if no limit is ahead, or the payload is out of range."""
    run = state.run
    if run.phase != IN_RANGE or run.side == IN_RANGE:
        return None
    earliest, expected, latest = (
        max(0.0, (at - through) / _HOUR) for at in (run.earliest, run.expected, run.latest)
    )
    return TimeToLimit(limit_c=_limit(facts.plan, run.side), at=run.at, hours=(earliest, expected, latest))


class _LevelHistory:
    """The levels of the last bins, oldest first.

    All levels are known from the start, and `add` moves on by one.
    """

    def __init__(self, at: list[Instant], celsius: list[float], end: int) -> None:
        self._at, self._celsius, self._end = at, celsius, end
        self._nowhere: Sequence[bool] = ()

    @classmethod
    def of(
        cls, tuning: ExcursionPredictedTuning, state: ExcursionPredictedState, closed: Sequence[Bin]
    ) -> Self:
        """Start with the levels of the state; each closed bin with a level will add one."""
        new = [(bin_.last_at, level) for bin_ in closed if (level := bin_.trimmed_mean(_CELSIUS)) is not None]
        at = [*accumulate(state.at), *(at for at, _ in new)]
        celsius = [*state.celsius, *(round(level, _DIGITS) for _, level in new)]
        made = cls(at, celsius, len(state.at))
        if len(new) >= _COLUMNS_FROM and len(at) >= MAX_POINTS:
            made._nowhere = surely_meaningless(at, celsius, tuning.sure, tuning.moved).tolist()
        return made

    def add(self) -> float | None:
        """Move on to the next level; return the one that is dropped."""
        self._end += 1
        return self._celsius[self._end - _KEPT_LEVELS - 1] if self._end > _KEPT_LEVELS else None

    def go_nowhere(self) -> bool:
        """Return whether the levels are known to have no trend."""
        return bool(self._nowhere) and self._end >= MAX_POINTS and self._nowhere[self._end - MAX_POINTS]

    def last(self) -> tuple[list[Instant], list[float]]:
        """Return the levels as instants and °C."""
        first = max(0, self._end - _KEPT_LEVELS)
        return self._at[first : self._end], self._celsius[first : self._end]

    def stored(self) -> tuple[tuple[Instant, ...], tuple[float, ...]]:
        """Return the levels as fields of a state."""
        at, celsius = self.last()
        return tuple(map(sub, at, [0, *at])), tuple(celsius)


def _merge_events(
    closed: Sequence[Bin], changes: Sequence[tuple[Instant, int]]
) -> list[tuple[Instant, Bin | None, int]]:
    """Merge closed bins and phase changes in order of time; if one reading causes both, the bin comes first."""
    events: list[tuple[Instant, Bin | None, int]] = [(bin_.closed_at, bin_, IN_RANGE) for bin_ in closed]
    if changes:
        events += [(at, None, phase) for at, phase in changes]
        events.sort(key=lambda event: (event[0], event[1] is None))
    return events


def _phase_changes(
    plan: Plan, phase: int, at: NDArray[np.int64], celsius: NDArray[np.float64]
) -> Iterator[tuple[Instant, int]]:
    """Yield where phases begin, exact to the reading."""
    edges = zones(plan)
    if phase == IN_RANGE:
        inside = (celsius >= edges[0]) & (celsius < edges[3])
        if inside.all():
            return
    there = np.flatnonzero(~np.isnan(celsius))
    zone = np.searchsorted(edges, celsius[there], side="right")
    changes = np.append(0, np.flatnonzero(zone[1:] != zone[:-1]) + 1) if len(zone) else zone
    for place in changes.tolist():
        trend = PHASES[phase][int(zone[place])]
        if trend != phase:
            phase = trend
            yield int(at[there[place]]), phase


def _change_phase(
    run: CurrentRun, reported: Prediction, at: Instant, phase: int
) -> tuple[CurrentRun, Prediction]:
    """End a prediction when the excursion begins, or when it ends."""
    if reported.active and (reported.of_budget or run.phase == IN_RANGE):
        reported = reported._replace(until=at)
    used = run.used + (at - run.since if run.phase != IN_RANGE else 0)
    return run._replace(
        phase=phase, since=at, used=used, bins_soon=0, bins_clear=0, no_recovery_since=at, side=IN_RANGE
    ), reported


def _limit(plan: Plan, side: int) -> float:
    limit = plan.limits.upper_c if side == HIGH else plan.limits.lower_c
    assert limit is not None  # there is no forecast for a side without a limit
    return limit


def _forecast(
    tuning: ExcursionPredictedTuning,
    plan: Plan,
    run: CurrentRun,
    instants: Sequence[Instant],
    celsius: Sequence[float],
) -> CurrentRun:
    """Forecast when a limit is reached, or during a run when it recovers, by the trend of the last levels."""
    trend, at = linear_trend(instants, celsius), instants[-1]
    if run.phase != IN_RANGE:
        recovers = trend is not None and _recovers(tuning, plan, run, with_decay(trend, instants, celsius))
        return run._replace(at=at, no_recovery_since=None if recovers else run.no_recovery_since or at)
    if trend is None or not _is_significant(tuning, plan, trend) or not _leaves_known_range(run, trend):
        return _no_limit_ahead(run, at)
    side = HIGH if trend.slope > 0 else LOW
    limit = plan.limits.upper_c if side == HIGH else plan.limits.lower_c
    if limit is None:
        return _no_limit_ahead(run, at)
    trend = with_decay(trend, instants, celsius)
    until = time_until(trend, limit, run.ambient_c, tuning.model_sd, _max_extrapolation(tuning, plan))
    if until is None:
        return _no_limit_ahead(run, at)
    soon = until[1] <= tuning.horizon_s * SECOND
    clear = until[1] > tuning.clear_horizon_s * SECOND
    earliest, expected, latest = (at + length for length in until)
    certain = abs(trend.slope) > tuning.certain * trend.slope_sd
    return run._replace(
        at=at,
        side=side,
        earliest=earliest,
        expected=expected,
        latest=latest,
        bins_soon=(run.bins_soon if side == run.side else 0) + (round(tuning.confirm) if certain else 1)
        if soon
        else 0,
        bins_clear=run.bins_clear + 1 if clear else 0,
    )


def _no_limit_ahead(run: CurrentRun, at: Instant) -> CurrentRun:
    """Record a bin whose trend reaches no limit."""
    return CurrentRun._make(
        (*run[:6], 0, run.bins_clear + 1, run.no_recovery_since, at, *run[10:13], IN_RANGE)
    )


def _is_significant(tuning: ExcursionPredictedTuning, plan: Plan, trend: Trend) -> bool:
    moved = abs(trend.slope) * trend.span
    if trend.slope > 0 and _on_dry_ice(tuning, plan, trend):
        return False
    return abs(trend.slope) > tuning.sure * trend.slope_sd and moved > tuning.moved * trend.noise_c


def _leaves_known_range(run: CurrentRun, trend: Trend) -> bool:
    """Return whether the payload leaves the range where it has been; a return to its plateau is no danger."""
    if trend.slope > 0:
        return run.warmest_c is None or trend.celsius > run.warmest_c
    return run.coldest_c is None or trend.celsius < run.coldest_c


def _widen_known_range(run: CurrentRun, ambient_c: float | None, celsius: float | None) -> CurrentRun:
    """Widen the range where the payload has been by a level from before the trend, and shrink it slowly."""
    coldest, warmest = run.coldest_c, run.warmest_c
    if celsius is not None and run.phase == IN_RANGE:
        if coldest is None or celsius < (coldest := coldest + (celsius - coldest) * _FORGETTING):
            coldest = celsius
        if warmest is None or celsius > (warmest := warmest + (celsius - warmest) * _FORGETTING):
            warmest = celsius
    elif ambient_c == run.ambient_c:
        return run
    return CurrentRun._make((*run[:3], ambient_c, coldest, warmest, *run[6:]))


def _max_extrapolation(tuning: ExcursionPredictedTuning, plan: Plan) -> float:
    two_sided = plan.limits.lower_c is not None and plan.limits.upper_c is not None
    return tuning.box_farthest if two_sided else tuning.farthest


def _on_dry_ice(tuning: ExcursionPredictedTuning, plan: Plan, trend: Trend) -> bool:
    upper_c = plan.limits.upper_c
    return upper_c is not None and tuning.dry_ice_c < upper_c <= -50 and trend.celsius <= tuning.dry_ice_c


def _recovers(tuning: ExcursionPredictedTuning, plan: Plan, run: CurrentRun, trend: Trend) -> bool:
    """Return whether the trend ends the run before the budget is used up."""
    low, high = plan.recovery_points()
    exhausted_at = _exhausted_at(plan, run)
    if exhausted_at is None or abs(trend.slope) <= 2 * trend.slope_sd:
        return False
    found = time_until(trend, high if run.phase == HIGH else low, None, tuning.model_sd, inf)
    return found is not None and trend.at + found[1] < exhausted_at


def _update_prediction(
    tuning: ExcursionPredictedTuning, run: CurrentRun, reported: Prediction, at: Instant
) -> Prediction:
    """Update the prediction of an excursion, with hysteresis."""
    if reported.active:
        if run.side not in (IN_RANGE, reported.side) or run.bins_clear >= tuning.confirm:
            return reported._replace(until=at)
        if run.side == IN_RANGE or not _moved(tuning, run, reported, at):
            return reported
    elif run.bins_soon < tuning.confirm:
        return reported
    since = reported.since if reported.active else at
    return Prediction(
        since=since, at=at, earliest=run.earliest, expected=run.expected, latest=run.latest, side=run.side
    )


def _moved(tuning: ExcursionPredictedTuning, run: CurrentRun, reported: Prediction, at: Instant) -> bool:
    step = max(tuning.step_share * max(0, reported.expected - at), tuning.step_s * SECOND)
    return abs(run.expected - reported.expected) > step


# The budget


def _exhausted_at(plan: Plan, run: CurrentRun) -> Instant | None:
    """Return when the current run uses up the budget; None if there is no run, or it is used up already."""
    if plan.budget is None or run.phase == IN_RANGE or run.used >= plan.budget:
        return None
    return run.since + plan.budget - run.used


def _budget_interval(
    tuning: ExcursionPredictedTuning, plan: Plan, run: CurrentRun
) -> tuple[Instant, Instant] | None:
    """Return when the end of the budget is reported, and when it is, if nothing changes."""
    exhausted_at = _exhausted_at(plan, run)
    if exhausted_at is None or plan.budget is None or run.no_recovery_since is None:
        return None
    reported_from = max(exhausted_at - round(plan.budget * (1 - tuning.budget_share)), run.no_recovery_since)
    return (reported_from, exhausted_at) if reported_from < exhausted_at else None


def _update_budget_prediction(
    tuning: ExcursionPredictedTuning, plan: Plan, run: CurrentRun, reported: Prediction, through: Instant
) -> Prediction:
    """Update the prediction of the budget's end by time alone."""
    changes = _budget_interval(tuning, plan, run)
    if changes is None:
        # The trend turned at the bin before this instant.
        return (
            reported._replace(until=max(run.at, reported.since or 0))
            if reported.active and reported.of_budget
            else reported
        )
    reported_from, exhausted_at = changes
    is_new = reported.since is None or (reported.until is not None and reported.until <= reported_from)
    if through >= reported_from and is_new:
        reported = Prediction(
            since=reported_from, of_budget=True, at=reported_from, expected=exhausted_at, side=run.phase
        )
    if reported.active and reported.of_budget and through >= exhausted_at:
        return reported._replace(until=exhausted_at)
    return reported


def _message(facts: Facts, reported: Prediction) -> str:
    plan = facts.plan
    limit = wording.temperature(_limit(plan, reported.side))
    word = "above" if reported.side == HIGH else "below"
    if reported.of_budget:
        assert plan.budget is not None
        return (
            f"Payload {word} {limit}: its stability budget of {wording.duration(plan.budget)} will be used up at "
            f"{clock_text(facts, reported.expected)}. Bring it back into range before that"
        )
    way = "warming" if reported.side == HIGH else "cooling"
    return (
        f"Payload {way}, expected {word} {limit} at {clock_text(facts, reported.expected)}, between {clock_text(facts, reported.earliest)} and "
        f"{clock_text(facts, reported.latest)}. Find out why, and move it or charge its shipper before that"
    )


def _details(facts: Facts, reported: Prediction) -> dict[str, Any]:
    if reported.of_budget:
        return {"foreseen": "budget_exhausted", "exhausted_at": clock_detail(facts, reported.expected)}
    hours = [
        round(max(0, at - reported.at) / _HOUR, 1)
        for at in (reported.earliest, reported.expected, reported.latest)
    ]
    return {
        "foreseen": "excursion",
        "limit_c": _limit(facts.plan, reported.side),
        "estimated_at": clock_detail(facts, reported.at),
        "time_to_limit_h": hours,
        "reached_at": [
            clock_detail(facts, at) for at in (reported.earliest, reported.expected, reported.latest)
        ],
    }
