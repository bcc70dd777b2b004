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
from alerts.rules.blocks.bins import Bin, Open, columns_of, fold_bins
from alerts.rules.blocks.trend import LONGEST, Trend, going_nowhere, reaches, slowing, straight
from alerts.rules.blocks.window import in_window
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, Moment, Tuning

_CELSIUS, _AMBIENT = range(2)
_POINTS = LONGEST
_DIGITS = 4
"""Levels are means, and further digits mean nothing."""
_MANY = 8
"""From this number of bins on, they are first examined together, in columns."""
_FORGETS = 1 / 300
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
    short: int = 0
    long: int = 0
    stays_since: Instant | None = None
    at: Instant = 0
    lo: Instant = 0
    mid: Instant = 0
    hi: Instant = 0
    side: int = IN_RANGE


class Prediction(NamedTuple):
    """The reported prediction, of an excursion or of the budget's end, with figures that move in steps."""

    since: Instant | None = None
    until: Instant | None = None
    of_budget: bool = False
    at: Instant = 0
    lo: Instant = 0
    mid: Instant = 0
    hi: Instant = 0
    side: int = IN_RANGE

    @property
    def on(self) -> bool:
        return self.since is not None and self.until is None


_NO_RUN, _NO_PREDICTION = CurrentRun(), Prediction()


@dataclass(frozen=True, slots=True)
class PredictedState:
    """The open bin, the levels of the bins before it, the current run, and the reported prediction."""

    bins: Open = ()
    at: tuple[Instant, ...] = ()
    """The first instant, and the difference from each to the next."""
    celsius: tuple[float, ...] = ()
    course: CurrentRun = _NO_RUN
    told: Prediction = _NO_PREDICTION


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeToLimit:
    """The current forecast, for pages and the API: hours until a limit is reached, as a 90 % interval."""

    limit_c: float
    at: Instant
    hours: tuple[float, float, float]


class ExcursionPredicted(DeviceRule[ExcursionPredictedTuning, PredictedState]):
    """The payload will leave its band, or will use up its stability budget."""

    kind: ClassVar[AlertKind] = AlertKind.EXCURSION_PREDICTED
    tuning = ExcursionPredictedTuning
    state = PredictedState
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
        self, tuning: ExcursionPredictedTuning, facts: Facts, state: PredictedState, trace: Trace
    ) -> PredictedState:
        """Fold readings into bins and runs, and those into predictions, in order of time."""
        trace = in_window(facts.window, trace)
        columns = columns_of(trace, (Channel.AMBIENT_C,))
        celsius = columns[_CELSIUS]
        assert celsius is not None
        bins, closed = fold_bins(round(tuning.bin_s * SECOND), state.bins, trace.at, columns)
        turns = list(_turns(facts.plan, state.course.phase, trace.at, celsius))
        if not closed and not turns:
            return PredictedState(bins, state.at, state.celsius, state.course, state.told)
        course, told = state.course, state.told
        levels = _Levels.of(tuning, state, closed)
        for at, one, phase in _in_order(closed, turns):
            if course.phase != IN_RANGE or (told.of_budget and told.on):
                told = _spending(tuning, facts.plan, course, told, at)
            if one is None:
                course, told = _turned(course, told, at, phase)
                continue
            ambient_c, level = one.level(_AMBIENT), one.level(_CELSIUS)
            if ambient_c is None:
                ambient_c = course.ambient_c
            if level is None:
                course = course._replace(ambient_c=ambient_c)
                continue
            left_behind = levels.add()
            course = _been(course, ambient_c, left_behind)
            if course.phase == IN_RANGE and levels.go_nowhere():
                course = _nothing_ahead(course, one.last_at)
            else:
                course = _forecast(tuning, facts.plan, course, *levels.last())
            if course.phase == IN_RANGE and (told.on or course.short):
                told = _judged(tuning, course, told, one.last_at)
        return PredictedState(bins, *levels.stored(), course, told)

    def look(
        self, tuning: ExcursionPredictedTuning, facts: Facts, state: PredictedState, moment: Moment
    ) -> Look:
        """Report the prediction; that a budget will be used up needs no further reading."""
        plan, course = facts.plan, state.course
        through = moment.through if moment.over is None else moment.over
        told = _spending(tuning, plan, course, state.told, through)
        turns = _budget_turns(tuning, plan, course) if moment.over is None else None
        again_at = min((at for at in turns or () if at > through), default=None)
        if told.since is None:
            return Look(again_at=again_at) if again_at is not None else NOTHING
        until = told.until if told.until is not None else moment.over
        found = Finding(
            severity=Severity.CRITICAL if told.of_budget else Severity.MAJOR,
            message=_message(facts, told),
            since=told.since,
            until=None if until is None else max(until, told.since),
            details=_details(facts, told),
        )
        return Look(found=found, again_at=again_at)


EXCURSION_PREDICTED = ExcursionPredicted()


def time_to_limit(facts: Facts, state: PredictedState, through: Instant) -> TimeToLimit | None:
    """Return the forecast as of an instant; None if no limit is ahead, or the payload is out of range."""
    course = state.course
    if course.phase != IN_RANGE or course.side == IN_RANGE:
        return None
    lo, mid, hi = (max(0.0, (at - through) / _HOUR) for at in (course.lo, course.mid, course.hi))
    return TimeToLimit(limit_c=_limit(facts.plan, course.side), at=course.at, hours=(lo, mid, hi))


class _Levels:
    """The levels of the last bins, oldest first.

    All levels are known from the start, and `add` moves on by one.
    """

    def __init__(self, at: list[Instant], celsius: list[float], end: int) -> None:
        self._at, self._celsius, self._end = at, celsius, end
        self._nowhere: Sequence[bool] = ()

    @classmethod
    def of(cls, tuning: ExcursionPredictedTuning, state: PredictedState, closed: Sequence[Bin]) -> Self:
        """Start with the levels of the state; each closed bin with a level will add one."""
        new = [(one.last_at, level) for one in closed if (level := one.level(_CELSIUS)) is not None]
        at = [*accumulate(state.at), *(at for at, _ in new)]
        celsius = [*state.celsius, *(round(level, _DIGITS) for _, level in new)]
        made = cls(at, celsius, len(state.at))
        if len(new) >= _MANY and len(at) >= LONGEST:
            made._nowhere = going_nowhere(at, celsius, tuning.sure, tuning.moved).tolist()
        return made

    def add(self) -> float | None:
        """Move on to the next level; return the one that is dropped."""
        self._end += 1
        return self._celsius[self._end - _POINTS - 1] if self._end > _POINTS else None

    def go_nowhere(self) -> bool:
        """Return whether the levels are known to have no trend."""
        return bool(self._nowhere) and self._end >= LONGEST and self._nowhere[self._end - LONGEST]

    def last(self) -> tuple[list[Instant], list[float]]:
        """Return the levels as instants and °C."""
        first = max(0, self._end - _POINTS)
        return self._at[first : self._end], self._celsius[first : self._end]

    def stored(self) -> tuple[tuple[Instant, ...], tuple[float, ...]]:
        """Return the levels as fields of a state."""
        at, celsius = self.last()
        return tuple(map(sub, at, [0, *at])), tuple(celsius)


def _in_order(
    closed: Sequence[Bin], turns: Sequence[tuple[Instant, int]]
) -> list[tuple[Instant, Bin | None, int]]:
    """Merge closed bins and phase changes in order of time; if one reading causes both, the bin comes first."""
    events: list[tuple[Instant, Bin | None, int]] = [(one.closed_at, one, IN_RANGE) for one in closed]
    if turns:
        events += [(at, None, phase) for at, phase in turns]
        events.sort(key=lambda event: (event[0], event[1] is None))
    return events


def _turns(
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
        now = PHASES[phase][int(zone[place])]
        if now != phase:
            phase = now
            yield int(at[there[place]]), phase


def _turned(course: CurrentRun, told: Prediction, at: Instant, phase: int) -> tuple[CurrentRun, Prediction]:
    """End a prediction when the excursion begins, or when it ends."""
    if told.on and (told.of_budget or course.phase == IN_RANGE):
        told = told._replace(until=at)
    used = course.used + (at - course.since if course.phase != IN_RANGE else 0)
    return course._replace(
        phase=phase, since=at, used=used, short=0, long=0, stays_since=at, side=IN_RANGE
    ), told


def _limit(plan: Plan, side: int) -> float:
    limit = plan.limits.upper_c if side == HIGH else plan.limits.lower_c
    assert limit is not None  # there is no forecast for a side without a limit
    return limit


def _forecast(
    tuning: ExcursionPredictedTuning,
    plan: Plan,
    course: CurrentRun,
    instants: Sequence[Instant],
    celsius: Sequence[float],
) -> CurrentRun:
    """Forecast when a limit is reached, or during a run when it recovers, by the trend of the last levels."""
    now, at = straight(instants, celsius), instants[-1]
    if course.phase != IN_RANGE:
        recovers = now is not None and _recovers(tuning, plan, course, slowing(now, instants, celsius))
        return course._replace(at=at, stays_since=None if recovers else course.stays_since or at)
    if now is None or not _is_sure(tuning, plan, now) or not _leads_away(course, now):
        return _nothing_ahead(course, at)
    side = HIGH if now.slope > 0 else LOW
    limit = plan.limits.upper_c if side == HIGH else plan.limits.lower_c
    if limit is None:
        return _nothing_ahead(course, at)
    now = slowing(now, instants, celsius)
    soon = reaches(now, limit, course.ambient_c, tuning.model_sd, _farthest(tuning, plan))
    if soon is None:
        return _nothing_ahead(course, at)
    short = soon[1] <= tuning.horizon_s * SECOND
    long = soon[1] > tuning.clear_horizon_s * SECOND
    lo, mid, hi = (at + length for length in soon)
    certain = abs(now.slope) > tuning.certain * now.slope_sd
    return course._replace(
        at=at,
        side=side,
        lo=lo,
        mid=mid,
        hi=hi,
        short=(course.short if side == course.side else 0) + (round(tuning.confirm) if certain else 1)
        if short
        else 0,
        long=course.long + 1 if long else 0,
    )


def _nothing_ahead(course: CurrentRun, at: Instant) -> CurrentRun:
    """Record a bin whose trend reaches no limit."""
    return CurrentRun._make(
        (*course[:6], 0, course.long + 1, course.stays_since, at, *course[10:13], IN_RANGE)
    )


def _is_sure(tuning: ExcursionPredictedTuning, plan: Plan, now: Trend) -> bool:
    moved = abs(now.slope) * now.length
    if now.slope > 0 and _on_dry_ice(tuning, plan, now):
        return False
    return abs(now.slope) > tuning.sure * now.slope_sd and moved > tuning.moved * now.noise_c


def _leads_away(course: CurrentRun, now: Trend) -> bool:
    """Return whether the payload leaves the range where it has been; a return to its plateau is no danger."""
    if now.slope > 0:
        return course.warmest_c is None or now.celsius > course.warmest_c
    return course.coldest_c is None or now.celsius < course.coldest_c


def _been(course: CurrentRun, ambient_c: float | None, celsius: float | None) -> CurrentRun:
    """Widen the range where the payload has been by a level from before the trend, and shrink it slowly."""
    coldest, warmest = course.coldest_c, course.warmest_c
    if celsius is not None and course.phase == IN_RANGE:
        if coldest is None or celsius < (coldest := coldest + (celsius - coldest) * _FORGETS):
            coldest = celsius
        if warmest is None or celsius > (warmest := warmest + (celsius - warmest) * _FORGETS):
            warmest = celsius
    elif ambient_c == course.ambient_c:
        return course
    return CurrentRun._make((*course[:3], ambient_c, coldest, warmest, *course[6:]))


def _farthest(tuning: ExcursionPredictedTuning, plan: Plan) -> float:
    two_sided = plan.limits.lower_c is not None and plan.limits.upper_c is not None
    return tuning.box_farthest if two_sided else tuning.farthest


def _on_dry_ice(tuning: ExcursionPredictedTuning, plan: Plan, now: Trend) -> bool:
    upper_c = plan.limits.upper_c
    return upper_c is not None and tuning.dry_ice_c < upper_c <= -50 and now.celsius <= tuning.dry_ice_c


def _recovers(tuning: ExcursionPredictedTuning, plan: Plan, course: CurrentRun, now: Trend) -> bool:
    """Return whether the trend ends the run before the budget is used up."""
    low, high = plan.recovery_points()
    exhausted_at = _exhausted_at(plan, course)
    if exhausted_at is None or abs(now.slope) <= 2 * now.slope_sd:
        return False
    found = reaches(now, high if course.phase == HIGH else low, None, tuning.model_sd, inf)
    return found is not None and now.at + found[1] < exhausted_at


def _judged(
    tuning: ExcursionPredictedTuning, course: CurrentRun, told: Prediction, at: Instant
) -> Prediction:
    """Update the prediction of an excursion, with hysteresis."""
    if told.on:
        if course.side not in (IN_RANGE, told.side) or course.long >= tuning.confirm:
            return told._replace(until=at)
        if course.side == IN_RANGE or not _moved(tuning, course, told, at):
            return told
    elif course.short < tuning.confirm:
        return told
    since = told.since if told.on else at
    return Prediction(since=since, at=at, lo=course.lo, mid=course.mid, hi=course.hi, side=course.side)


def _moved(tuning: ExcursionPredictedTuning, course: CurrentRun, told: Prediction, at: Instant) -> bool:
    step = max(tuning.step_share * max(0, told.mid - at), tuning.step_s * SECOND)
    return abs(course.mid - told.mid) > step


# The budget


def _exhausted_at(plan: Plan, course: CurrentRun) -> Instant | None:
    """Return when the current run uses up the budget; None if there is no run, or it is used up already."""
    if plan.budget is None or course.phase == IN_RANGE or course.used >= plan.budget:
        return None
    return course.since + plan.budget - course.used


def _budget_turns(
    tuning: ExcursionPredictedTuning, plan: Plan, course: CurrentRun
) -> tuple[Instant, Instant] | None:
    """Return when the end of the budget is reported, and when it is, if nothing changes."""
    exhausted_at = _exhausted_at(plan, course)
    if exhausted_at is None or plan.budget is None or course.stays_since is None:
        return None
    tells_at = max(exhausted_at - round(plan.budget * (1 - tuning.budget_share)), course.stays_since)
    return (tells_at, exhausted_at) if tells_at < exhausted_at else None


def _spending(
    tuning: ExcursionPredictedTuning, plan: Plan, course: CurrentRun, told: Prediction, through: Instant
) -> Prediction:
    """Update the prediction of the budget's end by time alone."""
    turns = _budget_turns(tuning, plan, course)
    if turns is None:
        # The trend turned at the bin before this instant.
        return told._replace(until=max(course.at, told.since or 0)) if told.on and told.of_budget else told
    tells_at, exhausted_at = turns
    anew = told.since is None or (told.until is not None and told.until <= tells_at)
    if through >= tells_at and anew:
        told = Prediction(since=tells_at, of_budget=True, at=tells_at, mid=exhausted_at, side=course.phase)
    if told.on and told.of_budget and through >= exhausted_at:
        return told._replace(until=exhausted_at)
    return told


def _message(facts: Facts, told: Prediction) -> str:
    plan = facts.plan
    limit = wording.temperature(_limit(plan, told.side))
    word = "above" if told.side == HIGH else "below"
    if told.of_budget:
        assert plan.budget is not None
        return (
            f"Payload {word} {limit}: its stability budget of {wording.duration(plan.budget)} will be used up at "
            f"{_time(facts, told.mid)}. Bring it back into range before that"
        )
    way = "warming" if told.side == HIGH else "cooling"
    return (
        f"Payload {way}, expected {word} {limit} at {_time(facts, told.mid)}, between {_time(facts, told.lo)} and "
        f"{_time(facts, told.hi)}. Find out why, and move it or charge its shipper before that"
    )


def _details(facts: Facts, told: Prediction) -> dict[str, Any]:
    if told.of_budget:
        return {"foreseen": "budget_exhausted", "exhausted_at": _time(facts, told.mid)}
    hours = [round(max(0, at - told.at) / _HOUR, 1) for at in (told.lo, told.mid, told.hi)]
    return {
        "foreseen": "excursion",
        "limit_c": _limit(facts.plan, told.side),
        "estimated_at": _time(facts, told.at),
        "time_to_limit_h": hours,
        "reached_at": [_time(facts, at) for at in (told.lo, told.mid, told.hi)],
    }


def _time(facts: Facts, at: Instant) -> str:
    return wording.instant(facts.on_the_clock(at))
