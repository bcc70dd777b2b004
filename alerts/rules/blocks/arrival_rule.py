"""Pure: the base of the arrival rules: each measures the forecast, and reports it where it is too bad."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Duration, Instant, to_datetime, to_instant
from alerts.rules.blocks.hysteresis import NO_EPISODE, Episode, Levels, fold_value
from alerts.rules.blocks.itinerary import (
    AT_ORIGIN,
    DOUBTED,
    STOP,
    Forecast,
    FreightPractice,
    RouteProgress,
    Sampling,
    fold_positions,
    forecast,
    planned_arrival,
    stops,
)
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, Finding, Look, LookTime, ShipmentRule, Tuning

_MOST_STEPS = 200
POSITIONS = frozenset({Channel.LAT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalTuning(Tuning):
    """What is customary: freight closes two hours before an aircraft leaves, and there is one flight a day.

    A position is sampled every five minutes, if it is accurate to a kilometre. A forecast is reported
    again when it has moved by a quarter of an hour.
    """

    position_every_s: float = 300
    accuracy_m: float = 1000
    cut_off_s: float = 7200
    service_every_s: float = 86_400
    told_step_s: float = 900


ARRIVAL_RANGES = {
    "position_every_s": (0.001, 86_400),
    "accuracy_m": (1, 100_000),
    "cut_off_s": (0, 30 * 86_400),
    "service_every_s": (0.001, 30 * 86_400),
    "told_step_s": (0.001, 30 * 86_400),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalState:
    """How far the shipment is, since when the forecast is too bad, and the arrival that was reported last."""

    progress: RouteProgress = AT_ORIGIN
    exceeded: Episode = NO_EPISODE
    reported_arrival: Instant | None = None


P = TypeVar("P", bound=ArrivalTuning)


class ArrivalRule(ShipmentRule[P, ArrivalState]):
    """A rule that measures by how many seconds the forecast of the arrival is too bad."""

    state = ArrivalState
    looks_ahead = True
    reads = POSITIONS
    shared_field = "progress"

    @abstractmethod
    def levels(self, tuning: P) -> Levels:
        """Return the excess in seconds that raises the alert, and the one that clears it."""

    @abstractmethod
    def excess_s(self, tuning: P, facts: Facts, expected: Forecast) -> float | None:
        """Return by how many seconds a forecast is too bad; None if facts are missing for that."""

    @abstractmethod
    def finding(self, tuning: P, facts: Facts, expected: Forecast, since: Instant) -> Finding:
        """Return the finding for a forecast that is too bad."""

    def fold(self, tuning: P, facts: Facts, state: ArrivalState, trace: Trace) -> ArrivalState:
        """Sample positions, and measure at each of them the forecast as of then."""
        planned = planned_arrival(facts)
        if planned is None and not stops(facts):
            return state
        sampled = fold_positions(facts, _sampling(tuning), state.progress, trace)
        if not sampled:
            return state
        exceeded, reported_arrival, levels = state.exceeded, state.reported_arrival, self.levels(tuning)
        practice, step_us = _practice(tuning), duration_of(tuning.told_step_s)
        before, until = None, 0
        for at, progress in () if planned is None else sampled:
            known = progress[STOP:DOUBTED]
            if known == before and at <= until:
                continue  # same forecast as at the position before
            expected = forecast(facts, progress, practice, at)
            excess = None if expected is None else self.excess_s(tuning, facts, expected)
            if expected is None or excess is None:
                break  # the plan lacks what the measure needs
            before, until = known, 0 if expected.overdue else expected.arrival
            exceeded = fold_value(levels, exceeded, at, float(excess))
            if reported_arrival is None or abs(expected.arrival - reported_arrival) > step_us:
                reported_arrival = expected.arrival
        return ArrivalState(progress=sampled[-1][1], exceeded=exceeded, reported_arrival=reported_arrival)

    def look(self, tuning: P, facts: Facts, states: Sequence[ArrivalState], look_time: LookTime) -> Look:
        """Judge by the logger with the newest position; without positions, by the plan and the clock."""
        state = max(states, key=lambda state: state.progress.sampled_at or 0)
        through = look_time.through
        expected = forecast(facts, state.progress, _practice(tuning), through)
        if expected is None or self.excess_s(tuning, facts, expected) is None:
            return NOTHING
        levels = self.levels(tuning)
        newest = state.exceeded.newest(levels, through)
        if newest is not None and newest[1] is None:
            return Look(
                found=self.finding(tuning, facts, self._as_reported(tuning, state, expected), newest[0])
            )
        crossed = self._exceeded_since(tuning, facts, state, look_time)
        if crossed is not None:
            return Look(found=self.finding(tuning, facts, expected, crossed))
        arrival = expected.arrival
        again_at = through + duration_of(tuning.told_step_s) if expected.overdue else arrival + 1
        if newest is None:
            return Look(again_at=again_at)
        found = self.finding(tuning, facts, self._as_reported(tuning, state, expected), newest[0])
        return Look(found=replace(found, until=newest[1]), again_at=again_at)

    def _as_reported(self, tuning: P, state: ArrivalState, expected: Forecast) -> Forecast:
        is_near = state.reported_arrival is not None and abs(
            expected.arrival - state.reported_arrival
        ) <= duration_of(tuning.told_step_s)
        return replace(expected, arrival=state.reported_arrival or expected.arrival) if is_near else expected

    def _exceeded_since(
        self, tuning: P, facts: Facts, state: ArrivalState, look_time: LookTime
    ) -> Instant | None:
        """Return when the forecast became too bad without a new position: at once, or when it became overdue."""
        seen = max(facts.window.departed_at, state.progress.sampled_at or 0)
        at: Instant | None = seen
        for _ in range(_MOST_STEPS):
            if at is None or at > look_time.through:
                return None
            expected = forecast(facts, state.progress, _practice(tuning), at)
            excess = None if expected is None else self.excess_s(tuning, facts, expected)
            if excess is not None and excess >= self.levels(tuning).raise_at:
                return at
            fold_value = duration_of(tuning.told_step_s)
            at = None if expected is None else (at + fold_value if expected.overdue else expected.arrival + 1)
        return None


@lru_cache(maxsize=1024)
def _sampling(tuning: ArrivalTuning) -> Sampling:
    return Sampling(every=duration_of(tuning.position_every_s), accuracy_m=tuning.accuracy_m)


@lru_cache(maxsize=1024)
def _practice(tuning: ArrivalTuning) -> FreightPractice:
    return FreightPractice(
        cut_off=duration_of(tuning.cut_off_s), service_every=duration_of(tuning.service_every_s)
    )


def duration_of(seconds: float) -> Duration:
    """Return seconds as a duration of at least a microsecond."""
    return max(1, round(seconds * SECOND))


def receivable_at(facts: Facts, arrival: Instant) -> Instant | None:
    """Return when the destination can receive a shipment that arrives then; None if it never opens again."""
    place = facts.destination
    if place is None or place.hours is None:
        return arrival
    opens = place.hours.opens(to_datetime(arrival))
    return None if opens is None else to_instant(opens)
