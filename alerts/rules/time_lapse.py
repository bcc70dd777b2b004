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
from alerts.rules.facts import Dewar, Facts, Leg, Refused
from alerts.rules.rule import Finding, Look, LookTime

_INSTANTS = (Channel.RECEIVED_AT, Channel.FLIGHT_MODE_UNTIL)


def facts_in_journey_time(facts: Facts) -> Facts:
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
        refused={
            name: tuple(_refused(facts, hour) for hour in hours) for name, hours in facts.refused.items()
        },
        heard_at={name: facts.to_journey_time(at) for name, at in facts.heard_at.items()},
    )


def trace_in_journey_time(facts: Facts, trace: Trace) -> Trace:
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


def look_time_in_journey_time(facts: Facts, look_time: LookTime) -> LookTime:
    """Return the time of a look in journey time."""
    if facts.plan.time_lapse == 1:
        return look_time
    return replace(
        look_time,
        through=facts.to_journey_time(look_time.through),
        watched_from=facts.to_journey_time(look_time.watched_from),
        shipment_ended_at=_opt(facts, look_time.shipment_ended_at),
    )


def look_in_clock_time(facts: Facts, look: Look) -> Look:
    """Return what was found in journey time, in clock time."""
    if facts.plan.time_lapse == 1:
        return look
    also_found: Mapping[str, Any] = {name: _found(facts, found) for name, found in look.also_found.items()}
    return Look(
        found=None if look.found is None else _found(facts, look.found),
        again_at=None if look.again_at is None else facts.to_clock_time(look.again_at) + 1,
        also_found=also_found,
    )


def _found(facts: Facts, found: Finding) -> Finding:
    until = None if found.until is None else facts.to_clock_time(found.until)
    return replace(found, since=facts.to_clock_time(found.since), until=until)


def _dewar(facts: Facts, dewar: Dewar) -> Dewar:
    return replace(
        dewar,
        hold_time=None if dewar.hold_time is None else round(dewar.hold_time * facts.plan.time_lapse),
        charges=tuple(replace(charge, at=facts.to_journey_time(charge.at)) for charge in dewar.charges),
        qualified_until=_opt(facts, dewar.qualified_until),
    )


def _refused(facts: Facts, hour: Refused) -> Refused:
    return hour._replace(
        first=facts.to_journey_time(hour.first),
        last=facts.to_journey_time(hour.last),
        sent_at=_opt(facts, hour.sent_at),
        true_at=_opt(facts, hour.true_at),
        instants=tuple(facts.to_journey_time(at) for at in hour.instants),
    )


def _leg(facts: Facts, leg: Leg) -> Leg:
    return replace(
        leg,
        planned_departure=_opt(facts, leg.planned_departure),
        planned_arrival=_opt(facts, leg.planned_arrival),
    )


def _opt(facts: Facts, at: Instant | None) -> Instant | None:
    return None if at is None else facts.to_journey_time(at)
