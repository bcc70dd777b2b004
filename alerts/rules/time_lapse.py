"""Pure: time lapse: rules calculate in journey time, which runs faster than the clock in a simulation.

At sixty times the speed, ten days of nitrogen last four hours, and a payload warms sixty times as fast. So
the facts and readings that rules get are stretched, from the departure on, and what they find is converted
back to clock time. Durations in their messages are in journey time.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from alerts.excursions.trace import Channel, Trace
from alerts.model import Instant, Window
from alerts.rules.facts import Dewar, Facts, Leg
from alerts.rules.rule import Finding, Look, Moment

_INSTANTS = (Channel.RECEIVED_AT, Channel.FLIGHT_MODE_UNTIL)


def stretched(facts: Facts) -> Facts:
    """Return facts in journey time: instants, hold time and the durations of the plan."""
    lapse, plan = facts.plan.time_lapse, facts.plan
    if lapse == 1:
        return facts
    window = facts.window
    return replace(
        facts,
        plan=replace(
            plan,
            on_delay=round(plan.on_delay * lapse),
            max_gap=round(plan.max_gap * lapse),
            budget=None if plan.budget is None else round(plan.budget * lapse),
        ),
        window=Window(departed_at=window.departed_at, delivered_at=_opt(facts, window.delivered_at)),
        dewar=None if facts.dewar is None else _dewar(facts, facts.dewar),
        legs=tuple(_leg(facts, leg) for leg in facts.legs),
        planned_departure=_opt(facts, facts.planned_departure),
        planned_arrival=_opt(facts, facts.planned_arrival),
        packed_out_at=_opt(facts, facts.packed_out_at),
        use_by=_opt(facts, facts.use_by),
        interval={name: round(every * lapse) for name, every in facts.interval.items()},
    )


def stretched_trace(facts: Facts, trace: Trace) -> Trace:
    """Return readings in journey time."""
    lapse, start = facts.plan.time_lapse, facts.window.departed_at
    if lapse == 1:
        return trace
    at = start + np.round((trace.at - start) * lapse).astype(np.int64)
    moved = {
        name: np.round(start + (trace.channels[name] - start) * lapse)
        for name in _INSTANTS
        if name in trace.channels
    }
    return Trace(at, trace.celsius, {**trace.channels, **moved})


def stretched_moment(facts: Facts, moment: Moment) -> Moment:
    """Return the time of a look in journey time."""
    if facts.plan.time_lapse == 1:
        return moment
    return replace(
        moment,
        through=facts.stretch(moment.through),
        watched_from=facts.stretch(moment.watched_from),
        over=_opt(facts, moment.over),
    )


def on_the_clock(facts: Facts, look: Look) -> Look:
    """Return what was found in journey time, in clock time."""
    if facts.plan.time_lapse == 1:
        return look
    apart: Mapping[str, Any] = {name: _found(facts, found) for name, found in look.apart.items()}
    return Look(
        found=None if look.found is None else _found(facts, look.found),
        again_at=None if look.again_at is None else facts.on_the_clock(look.again_at) + 1,
        apart=apart,
    )


def _found(facts: Facts, found: Finding) -> Finding:
    until = None if found.until is None else facts.on_the_clock(found.until)
    return replace(found, since=facts.on_the_clock(found.since), until=until)


def _dewar(facts: Facts, dewar: Dewar) -> Dewar:
    return replace(
        dewar,
        hold_time=None if dewar.hold_time is None else round(dewar.hold_time * facts.plan.time_lapse),
        charges=tuple(replace(charge, at=facts.stretch(charge.at)) for charge in dewar.charges),
        qualified_until=_opt(facts, dewar.qualified_until),
    )


def _leg(facts: Facts, leg: Leg) -> Leg:
    return replace(
        leg,
        planned_departure=_opt(facts, leg.planned_departure),
        planned_arrival=_opt(facts, leg.planned_arrival),
    )


def _opt(facts: Facts, at: Instant | None) -> Instant | None:
    return None if at is None else facts.stretch(at)
