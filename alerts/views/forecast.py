"""The forecast of a shipment now: how long its coolant lasts, and when its payload reaches a limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from alerts.evaluation.claim import LOAD_DEVICES
from alerts.evaluation.judging.checkpoint import States, fold_forward
from alerts.evaluation.load_facts import facts_of, load_context, load_shipments
from alerts.evaluation.resume import Dirty, PendingFold, Resumed, resume
from alerts.model import AlertKind, Instant, to_instant
from alerts.rules.blocks.coolant_left import HoldTimeTuning
from alerts.rules.facts import Facts
from alerts.rules.kinds.excursion_predicted import TimeToLimit, time_to_limit
from alerts.rules.kinds.hold_time_short import HoldTime, hold_time
from alerts.rules.registry import CHANNELS, tuned_rules
from alerts.rules.time_lapse import facts_in_journey_time
from alerts.work.bulk import Connection

_MARKS = "SELECT shipment_id, device_id, dirty_from FROM evaluation_marks WHERE shipment_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The forecast; hours and instants are in the journey's time, which `facts` converts to clock time."""

    facts: Facts
    through: Instant
    """The instant from which hours count, in the journey's time."""
    hold_time: HoldTime | None
    limits: Mapping[str, TimeToLimit | None]
    """By logger."""
    pending: bool


async def foresee(connection: Connection, shipment_id: str, now: datetime) -> Forecast | None:
    """Return the forecast of a shipment under way, over all stored readings; None if it is not under way.

    The connection should be at REPEATABLE READ: what is folded and what is not are read one after the other.
    """
    shipment = (await load_shipments(connection, [shipment_id])).get(shipment_id)
    if shipment is None:
        return None
    devices = await connection.fetch(LOAD_DEVICES, [shipment_id])
    facts = facts_of(shipment, devices, await load_context(connection, [shipment]))
    if facts is None or facts.window.delivered_at is not None:
        return None
    marks = await connection.fetch(_MARKS, shipment_id)
    resumed = await _resumed(connection, shipment, devices, facts, Dirty.of(marks), to_instant(now))
    states = {one.pending.device_id: _forward(facts, one, to_instant(now)) for one in resumed}
    through = facts.to_journey_time(to_instant(now))
    return Forecast(
        facts=facts,
        through=through,
        hold_time=_hold_time(facts, list(states.values()), through),
        limits={device_id: _limit(facts, rules, through) for device_id, rules in states.items()},
        pending=bool(marks),
    )


async def _resumed(
    connection: Connection,
    shipment: asyncpg.Record,
    devices: Sequence[asyncpg.Record],
    facts: Facts,
    dirty: Dirty,
    now: Instant,
) -> list[Resumed]:
    rules = tuned_rules(facts.plan)
    of_each = (PendingFold.of(row, shipment, dirty, rules, now, facts.key) for row in devices)
    return await resume(connection, [folding for folding in of_each if folding is not None], CHANNELS)


def _forward(facts: Facts, one: Resumed, now: Instant) -> States:
    """Return the states of rules with the readings that are not evaluated yet."""
    forward = fold_forward(facts, tuned_rules(facts.plan), one.checkpoint, one.loaded.trace, retry_at=now)
    return forward.checkpoint.rules


def _hold_time(facts: Facts, states: Sequence[States], through: Instant) -> HoldTime | None:
    kind = AlertKind.HOLD_TIME_SHORT
    tuning = next((one.tuning for one in tuned_rules(facts.plan) if one.kind is kind), None)
    known = [rules[kind] for rules in states if kind in rules]
    if not isinstance(tuning, HoldTimeTuning) or not known:
        return None
    return hold_time(tuning, facts_in_journey_time(facts), known, through)


def _limit(facts: Facts, rules: States, through: Instant) -> TimeToLimit | None:
    state = rules.get(AlertKind.EXCURSION_PREDICTED)
    return None if state is None else time_to_limit(facts_in_journey_time(facts), state, through)
