"""Pure: the logger's battery is low, or will not last until the shipment arrives."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alerts import wording
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.discharge import APART, HOUR, Levels, firsts
from alerts.rules.blocks.hysteresis import Levels as Limits
from alerts.rules.blocks.hysteresis import Stretch, stretch
from alerts.rules.blocks.signs import Sign, together
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Look, Moment, Tuning
from telemetry.battery import LOW_PCT, RECOVERS_PCT

STEP: Duration = 3 * HOUR
"""Forecasts are reported in steps of this, since they move with every level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge(Tuning):
    """When a battery is low.

    Lithium cells hold their voltage down to some 10 % and then fall within hours, sooner in the cold; a
    fifth leaves time to have the battery changed at the next hub. `margin_s` allows for a missed
    connection. Loggers switch off at `empty_pct`.
    """

    low_pct: float = LOW_PCT
    critical_pct: float = 8.0
    empty_pct: float = 3.0
    margin_s: float = 43_200


_NONE = Stretch()


@dataclass(frozen=True, slots=True)
class BatteryState:
    """Levels of the last days, and episodes: low, almost empty, and forecast not to last.

    The first two are of negated percents; the other two of hours missing until arrival, with and without
    the margin.
    """

    at: tuple[Instant, ...] = ()
    pct: tuple[float, ...] = ()
    low: Stretch = _NONE
    critical: Stretch = _NONE
    short: Stretch = _NONE
    dies: Stretch = _NONE


class LowBattery(DeviceRule[Charge, BatteryState]):
    """A battery that is low now, or by its trend before the planned arrival."""

    kind: ClassVar[AlertKind] = AlertKind.LOW_BATTERY
    tuning = Charge
    state = BatteryState
    reads = frozenset({Channel.BATTERY_PCT})
    ranges: ClassVar = {
        "low_pct": (0, 95),
        "critical_pct": (0, 95),
        "empty_pct": (0, 50),
        "margin_s": (1, 2_592_000),
    }

    def fold(self, tuning: Charge, facts: Facts, state: BatteryState, trace: Trace) -> BatteryState:
        """Follow the level, and forecast every two hours how long it lasts."""
        pct = trace.channels.get(Channel.BATTERY_PCT)
        if pct is None or not len(trace):
            return state
        low, critical = state.low, state.critical
        highest = max(tuning.low_pct, tuning.critical_pct)
        if low.since is not None or critical.since is not None or not pct.min() > highest:  # or NaN
            low = stretch(_limits(tuning.low_pct), low, trace.at, -pct)
            critical = stretch(_limits(tuning.critical_pct), critical, trace.at, -pct)
        levels, short, dies = Levels(state.at, state.pct), state.short, state.dies
        last = levels.at[-1] if levels.at else None
        if last is None or trace.at[-1] // APART > last // APART:
            for place in firsts(last, trace.at, pct):
                levels = levels.then(int(trace.at[place]), float(pct[place]))
                short, dies = _forecast(tuning, facts, levels, short, dies)
        if levels.at is state.at and low is state.low and critical is state.critical:
            return state
        return BatteryState(*levels, low, critical, short, dies)

    def look(self, tuning: Charge, facts: Facts, state: BatteryState, moment: Moment) -> Look:
        """Report the level and the forecast."""
        signs = [
            *_level_signs(tuning.low_pct, Severity.MAJOR, state.low, moment),
            *_level_signs(tuning.critical_pct, Severity.CRITICAL, state.critical, moment),
        ]
        arrival = _arrival(facts)
        if arrival is not None:
            margin = round(tuning.margin_s * SECOND)
            signs += _forecast_signs(facts, arrival, arrival + margin, Severity.MAJOR, state.short, moment)
            signs += _forecast_signs(facts, arrival, arrival, Severity.CRITICAL, state.dies, moment)
        return Look(found=together(signs, moment.over)) if signs else NOTHING


def _arrival(facts: Facts) -> Instant | None:
    if facts.planned_arrival is not None:
        return facts.planned_arrival
    return facts.legs[-1].planned_arrival if facts.legs else None


def _forecast(
    tuning: Charge, facts: Facts, levels: Levels, short: Stretch, dies: Stretch
) -> tuple[Stretch, Stretch]:
    """Update the episodes in which the forecast misses the arrival, by the newest level."""
    arrival = _arrival(facts)
    if arrival is None:
        return short, dies
    at, empty_at = levels.at[-1], levels.empty_at(tuning.empty_pct)
    if at >= arrival or (empty_at is None and len(levels.at) > 1):
        return short, dies  # no forecast is possible; the level itself is still watched
    # A single level means that the battery is new, which ends what was forecast for the old one.
    missing_h = -1e6 if empty_at is None else (arrival - empty_at) / HOUR
    now, margin = np.array([at]), tuning.margin_s / 3600
    return (
        stretch(Limits(raise_at=0.0, clear_at=-margin), short, now, np.array([missing_h + margin])),
        stretch(Limits(raise_at=0.0, clear_at=-margin / 2), dies, now, np.array([missing_h])),
    )


def _level_signs(level: float, severity: Severity, newest: Stretch, moment: Moment) -> list[Sign]:
    told = newest.newest(_limits(level), moment.through)
    if told is None:
        return []
    critical = severity is Severity.CRITICAL
    means = (
        "the logger is about to fall silent" if critical else "the logger may fall silent before it arrives"
    )
    message = f"Logger's battery at {level:g} % or less: {means}; charge or change it at the next stop"
    return [Sign(severity=severity, message=message, since=told[0], until=told[1])]


def _forecast_signs(
    facts: Facts, arrival: Instant, needed: Instant, severity: Severity, newest: Stretch, moment: Moment
) -> list[Sign]:
    told = newest.newest(Limits(raise_at=0.0, clear_at=-1.0), moment.through)
    if told is None:
        return []
    since, until, missing_h = told
    empty_at = round(needed - missing_h * HOUR) // STEP * STEP  # by the worst forecast so far
    when = wording.instant(facts.on_the_clock(empty_at))
    before = "before" if severity is Severity.CRITICAL else "too close to"
    message = (
        f"Logger's battery will be empty about {when}, {before} the planned arrival at {wording.instant(facts.on_the_clock(arrival))}: "
        "nothing will be known of the payload from then on; charge or change it on the way"
    )
    return [Sign(severity=severity, message=message, since=since, until=until, details={"empty_at": when})]


def _limits(pct: float) -> Limits:
    return Limits(raise_at=-pct, clear_at=-pct - RECOVERS_PCT)


LOW_BATTERY = LowBattery()
