"""Pure: what the rules of a shipment find at an instant, as conditions for its alerts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import orjson

from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.departure import TO_TELL_OF_IT
from alerts.evaluation.judging.outage import LOOK_AGAIN_AFTER
from alerts.model import AlertKind, Condition, Instant
from alerts.rules.facts import Facts
from alerts.rules.registry import RULES, TunedRule
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, LookTime
from alerts.rules.time_lapse import facts_in_journey_time, look_in_clock_time, look_time_in_journey_time
from alerts.triage.alert import Alert
from alerts.triage.conditions import withdrawn

_KINDS = frozenset(rule.kind for rule in RULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result of a look by all rules."""

    conditions: Sequence[Condition]
    """Conditions that alerts must follow, including those that ended or that turned out never to have
    held."""
    deadlines: Sequence[Instant]
    errors: Mapping[AlertKind, Exception]
    """The rules that failed; their conditions are missing."""
    held_back: int
    """The number of alerts that were not raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLogger:
    """One logger of the shipment, how far it is folded, and when it is looked at."""

    checkpoint: Checkpoint
    look_time: LookTime


@dataclass(slots=True)
class _LookRound:
    facts: Facts
    journey: Facts
    """The same facts in journey time, in which rules calculate."""
    loggers: Sequence[WatchedLogger]
    look_times: Sequence[tuple[WatchedLogger, LookTime]]
    """Each logger, with the time of its look in journey time."""
    shipment_time: LookTime
    on_record: Mapping[str, Alert]
    kinds_held_back: frozenset[AlertKind]
    entered_until: Instant | None = None
    """Until then the shipment's past is still being entered: see `_entered_until`."""
    deadlines: list[Instant] = field(default_factory=list)
    held_back: int = 0

    def conditions_of(self, tuned_rule: TunedRule) -> list[Condition]:
        """Return the conditions of one rule; loggers that must be folded again are left as they are."""
        rule = tuned_rule.rule
        conditions: list[Condition] = []
        if _is_of_device(type(rule)):
            for logger, look_time in self.look_times:
                state = logger.checkpoint.rules.get(tuned_rule.kind)
                if state is None:
                    continue
                look = rule.look(tuned_rule.tuning, self.journey, state, look_time)
                if look is not NOTHING or self.on_record:
                    conditions += self._follow(tuned_rule, look, [state], logger.look_time)
            return conditions
        states = [
            logger.checkpoint.rules[tuned_rule.kind]
            for logger in self.loggers
            if tuned_rule.kind in logger.checkpoint.rules
        ]
        if len(states) == len(self.loggers):
            look = rule.look(
                tuned_rule.tuning,
                self.journey,
                states,
                look_time_in_journey_time(self.facts, self.shipment_time),
            )
            if look is not NOTHING or self.on_record:
                conditions += self._follow(tuned_rule, look, states, self.shipment_time)
        return conditions

    def _follow(
        self, tuned_rule: TunedRule, look: Look, states: Sequence[Any], look_time: LookTime
    ) -> Iterator[Condition]:
        look = look if look is NOTHING else look_in_clock_time(self.facts, look)
        if (
            look_time.shipment_ended_at is None
            and look.again_at is not None
            and look.again_at > look_time.through
        ):
            self.deadlines.append(look.again_at)
        subject = (
            tuned_rule.kind.value
            if look_time.device_id is None
            else f"{tuned_rule.kind}:{look_time.device_id}"
        )
        if look.found is None and subject not in self.on_record and not tuned_rule.rule.also_finds:
            return  # nearly always
        named_findings: list[tuple[str, str | None, Finding | None]] = [(subject, None, look.found)]
        named_findings += [
            (f"{subject}:{name}", name, look.also_found.get(name)) for name in tuned_rule.rule.also_finds
        ]
        for finding_subject, name, finding in named_findings:
            alert = self.on_record.get(finding_subject)
            if finding is None and alert is None:
                continue
            current = (
                None
                if finding is None
                else _condition(tuned_rule.kind, finding_subject, look_time.device_id, finding)
            )
            if look_time.shipment_ended_at is not None:
                condition = _end_with_shipment(alert, current, look_time.shipment_ended_at)
            elif current is not None and self._is_being_entered(tuned_rule, alert):
                continue
            elif current is not None and self._is_held_back(current, alert):
                self.held_back += 1
                self.deadlines.append(look_time.through + LOOK_AGAIN_AFTER)
                continue
            elif current is not None or alert is None:
                condition = current
            else:
                heard = self.facts.refused_at(look_time.device_id, look_time.through)
                condition = _no_longer_found(self.facts, tuned_rule, states, name, alert, heard)
            if condition is not None:
                yield condition

    def _is_being_entered(self, tuned_rule: TunedRule, alert: Alert | None) -> bool:
        """Return whether this would raise an alert about now by what may be over for long; says when to look again."""
        raised = alert is not None and alert.condition.holds
        if self.entered_until is None or raised or not tuned_rule.rule.looks_ahead:
            return False
        self.deadlines.append(self.entered_until)
        return True

    def _is_held_back(self, current: Condition, alert: Alert | None) -> bool:
        """Return whether this would raise an alert that one for the whole fleet already covers."""
        raised = alert is not None and alert.condition.holds
        return current.kind in self.kinds_held_back and current.until is None and not raised


def look_by_rules(
    facts: Facts,
    tuned: Sequence[TunedRule],
    loggers: Sequence[WatchedLogger],
    shipment_time: LookTime,
    on_record: Mapping[str, Alert],
    held_back: frozenset[AlertKind] = frozenset(),
) -> Findings:
    """Let each rule look at each logger, or at all at once; an error in one rule affects no other."""
    look_times = [(logger, look_time_in_journey_time(facts, logger.look_time)) for logger in loggers]
    look_round = _LookRound(
        facts,
        facts_in_journey_time(facts),
        loggers,
        look_times,
        shipment_time,
        on_record,
        held_back,
        _entered_until(facts, loggers, shipment_time),
    )
    conditions: list[Condition] = []
    errors: dict[AlertKind, Exception] = {}
    for tuned_rule in tuned:
        try:
            conditions += look_round.conditions_of(tuned_rule)
        except Exception as error:  # noqa: BLE001 -- whatever it is, other rules must not fail with it
            errors[tuned_rule.kind] = error
    conditions += _switched_off(tuned, on_record, is_over=shipment_time.shipment_ended_at is not None)
    return Findings(
        conditions=conditions, deadlines=look_round.deadlines, errors=errors, held_back=look_round.held_back
    )


def _entered_until(facts: Facts, loggers: Sequence[WatchedLogger], shipment_time: LookTime) -> Instant | None:
    """Return until when a shipment whose departure was told late may be one that is over, and is being entered.

    Whoever enters a past journey tells of its departure, its readings and its delivery one after another, and between
    them it looks as if it were under way, out of coolant and late. A reading that was measured since shows that it is
    under way; without any, it is taken to be once a logger would be missed.
    """
    since = shipment_time.watched_from
    patience = max(facts.plan.max_gap, TO_TELL_OF_IT)
    told_at_once = since - facts.window.departed_at <= patience
    heard_since = any((logger.checkpoint.state.seen or since) > since for logger in loggers)
    until = since + patience
    return None if told_at_once or heard_since or shipment_time.through >= until else until


@cache
def _is_of_device(rule: type[Any]) -> bool:
    return issubclass(rule, DeviceRule)


def _condition(kind: AlertKind, subject: str, device_id: str | None, named_findings: Finding) -> Condition:
    return Condition(
        subject=subject,
        kind=kind,
        severity=named_findings.severity,
        device_id=device_id,
        message=named_findings.message,
        since=named_findings.since,
        until=named_findings.until,
        details=orjson.loads(orjson.dumps(dict(named_findings.details))) if named_findings.details else {},
    )


def _end_with_shipment(alert: Alert | None, current: Condition | None, over: Instant) -> Condition | None:
    """End what held when the shipment ended; nothing new begins."""
    if alert is None or not alert.condition.holds:
        return None
    last = alert.condition if current is None else current
    return last if last.until is not None else replace(last, until=max(over, last.since))


def _no_longer_found(
    facts: Facts,
    tuned_rule: TunedRule,
    states: Sequence[Any],
    name: str | None,
    alert: Alert,
    heard: Instant | None,
) -> Condition | None:
    """Return what becomes of a condition that its rule no longer finds."""
    if not tuned_rule.rule.only_ongoing:
        return withdrawn(alert.condition)
    if not alert.condition.holds:
        return None
    until = tuned_rule.rule.ended_at(
        states,
        facts.to_journey_time(alert.condition.since),
        name,
        None if heard is None else facts.to_journey_time(heard),
    )
    until = None if until is None else facts.to_clock_time(until)
    return withdrawn(alert.condition) if until is None else replace(alert.condition, until=until)


def _switched_off(
    tuned: Sequence[TunedRule], on_record: Mapping[str, Alert], *, is_over: bool
) -> Iterator[Condition]:
    """Withdraw what rules found that are switched off; of a shipment that is over, only what held until then."""
    off = _KINDS - {tuned_rule.kind for tuned_rule in tuned}
    for alert in on_record.values():
        found = alert.condition
        if found.kind in off and not found.withdrawn and (found.holds or not is_over):
            yield withdrawn(found)
