"""Pure: the logger's battery is low, or will not last until the shipment arrives."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.battery_discharge import HOUR, SAMPLE_EVERY, BatteryLevels, first_levels
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.hysteresis import Episode, fold_episode
from alerts.rules.blocks.hysteresis import Levels as Limits
from alerts.rules.blocks.itinerary import planned_arrival
from alerts.rules.blocks.symptoms import Symptom, merge_symptoms
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Look, LookTime, Tuning
from telemetry.battery import LOW_PCT, RECOVERS_PCT

FORECAST_STEP: Duration = 3 * HOUR
"""Forecasts are reported in steps of this, since they move with every level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowBatteryTuning(Tuning):
    """When a battery is low.

    Lithium cells hold their voltage down to some 10 % and then fall within hours, sooner in the cold; a
    fifth leaves time to have the battery changed at the next hub. `margin_s` allows for a missed
    connection. Loggers switch off at `empty_pct`.
    """

    low_pct: float = LOW_PCT
    critical_pct: float = 8.0
    empty_pct: float = 3.0
    margin_s: float = 43_200


_NONE = Episode()


@dataclass(frozen=True, slots=True)
class LowBatteryState:
    """Levels of the last days, and episodes: low, almost empty, and forecast not to last.

    The first two are of negated percents; the other two of hours missing until arrival, with and without
    the margin.
    """

    at: tuple[Instant, ...] = ()
    pct: tuple[float, ...] = ()
    low: Episode = _NONE
    critical: Episode = _NONE
    short_of_margin: Episode = _NONE
    short_of_arrival: Episode = _NONE


class LowBattery(DeviceRule[LowBatteryTuning, LowBatteryState]):
    """A battery that is low now, or by its trend before the planned arrival."""

    kind: ClassVar[AlertKind] = AlertKind.LOW_BATTERY
    tuning = LowBatteryTuning
    state = LowBatteryState
    reads = frozenset({Channel.BATTERY_PCT})
    ranges: ClassVar = {
        "low_pct": (0, 95),
        "critical_pct": (0, 95),
        "empty_pct": (0, 50),
        "margin_s": (1, 2_592_000),
    }

    def fold(
        self, tuning: LowBatteryTuning, facts: Facts, state: LowBatteryState, trace: Trace
    ) -> LowBatteryState:
        """Follow the level, and forecast every two hours how long it lasts."""
        pct = trace.channels.get(Channel.BATTERY_PCT)
        if pct is None or not len(trace):
            return state
        low, critical = state.low, state.critical
        highest = max(tuning.low_pct, tuning.critical_pct)
        if low.since is not None or critical.since is not None or not pct.min() > highest:  # or NaN
            low = fold_episode(_limits(tuning.low_pct), low, trace.at, -pct)
            critical = fold_episode(_limits(tuning.critical_pct), critical, trace.at, -pct)
        levels, short_of_margin, short_of_arrival = (
            BatteryLevels(state.at, state.pct),
            state.short_of_margin,
            state.short_of_arrival,
        )
        last = levels.at[-1] if levels.at else None
        if last is None or trace.at[-1] // SAMPLE_EVERY > last // SAMPLE_EVERY:
            for place in first_levels(last, trace.at, pct):
                levels = levels.with_level(int(trace.at[place]), float(pct[place]))
                short_of_margin, short_of_arrival = _forecast(
                    tuning, facts, levels, short_of_margin, short_of_arrival
                )
        if levels.at is state.at and low is state.low and critical is state.critical:
            return state
        return LowBatteryState(*levels, low, critical, short_of_margin, short_of_arrival)

    def look(
        self, tuning: LowBatteryTuning, facts: Facts, state: LowBatteryState, look_time: LookTime
    ) -> Look:
        """Report the level and the forecast."""
        symptoms = [
            *_level_symptoms(tuning.low_pct, Severity.MAJOR, state.low, look_time),
            *_level_symptoms(tuning.critical_pct, Severity.CRITICAL, state.critical, look_time),
        ]
        arrival = planned_arrival(facts)
        if arrival is not None:
            margin = round(tuning.margin_s * SECOND)
            symptoms += _forecast_symptoms(
                facts, arrival, arrival + margin, Severity.MAJOR, state.short_of_margin, look_time
            )
            symptoms += _forecast_symptoms(
                facts, arrival, arrival, Severity.CRITICAL, state.short_of_arrival, look_time
            )
        return Look(found=merge_symptoms(symptoms, look_time.shipment_ended_at)) if symptoms else NOTHING


def _forecast(
    tuning: LowBatteryTuning,
    facts: Facts,
    levels: BatteryLevels,
    short_of_margin: Episode,
    short_of_arrival: Episode,
) -> tuple[Episode, Episode]:
    """Update the episodes in which the forecast misses the arrival, by the newest level."""
    arrival = planned_arrival(facts)
    if arrival is None:
        return short_of_margin, short_of_arrival
    at, empty_at = levels.at[-1], levels.empty_at(tuning.empty_pct)
    if at >= arrival or (empty_at is None and len(levels.at) > 1):
        return short_of_margin, short_of_arrival  # no forecast is possible; the level itself is still watched
    # A single level means that the battery is new, which ends what was forecast for the old one.
    missing_h = -1e6 if empty_at is None else (arrival - empty_at) / HOUR
    now, margin = np.array([at]), tuning.margin_s / 3600
    return (
        fold_episode(
            Limits(raise_at=0.0, clear_at=-margin), short_of_margin, now, np.array([missing_h + margin])
        ),
        fold_episode(
            Limits(raise_at=0.0, clear_at=-margin / 2), short_of_arrival, now, np.array([missing_h])
        ),
    )


def _level_symptoms(level: float, severity: Severity, episode: Episode, look_time: LookTime) -> list[Symptom]:
    newest_counted = episode.newest(_limits(level), look_time.through)
    if newest_counted is None:
        return []
    critical = severity is Severity.CRITICAL
    means = (
        "the logger is about to fall silent" if critical else "the logger may fall silent before it arrives"
    )
    message = f"Logger's battery at {level:g} % or less: {means}; charge or change it at the next stop"
    return [Symptom(severity=severity, message=message, since=newest_counted[0], until=newest_counted[1])]


def _forecast_symptoms(
    facts: Facts, arrival: Instant, needed: Instant, severity: Severity, episode: Episode, look_time: LookTime
) -> list[Symptom]:
    newest_counted = episode.newest(Limits(raise_at=0.0, clear_at=-1.0), look_time.through)
    if newest_counted is None:
        return []
    since, until, missing_h = newest_counted
    empty_at = (
        round(needed - missing_h * HOUR) // FORECAST_STEP * FORECAST_STEP
    )  # by the worst forecast so far
    before = "before" if severity is Severity.CRITICAL else "too close to"
    message = (
        f"Logger's battery will be empty about {clock_text(facts, empty_at)}, {before} the planned arrival at {clock_text(facts, arrival)}: "
        "nothing will be known of the payload from then on; charge or change it on the way"
    )
    details = {"empty_at": clock_detail(facts, empty_at)}
    return [Symptom(severity=severity, message=message, since=since, until=until, details=details)]


def _limits(pct: float) -> Limits:
    return Limits(raise_at=-pct, clear_at=-pct - RECOVERS_PCT)


LOW_BATTERY = LowBattery()
