"""Pure: what the rules of a shipment find at an instant, as conditions for its alerts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import orjson

from alerts.evaluation.checkpoint import Checkpoint
from alerts.evaluation.outage import LOOK_AGAIN_AFTER
from alerts.model import AlertKind, Condition, Instant
from alerts.rules.facts import Facts
from alerts.rules.registry import RULES, Tuned
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, Moment
from alerts.rules.time_lapse import on_the_clock, stretched, stretched_moment
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
    moment: Moment


@dataclass(slots=True)
class _RuleLook:
    facts: Facts
    journey: Facts
    """The same facts in journey time, in which rules calculate."""
    loggers: Sequence[WatchedLogger]
    moments: Sequence[tuple[WatchedLogger, Moment]]
    """Each logger, with the time of its look in journey time."""
    whole: Moment
    on_record: Mapping[str, Alert]
    kinds_held_back: frozenset[AlertKind]
    deadlines: list[Instant] = field(default_factory=list)
    held_back: int = 0

    def by(self, one: Tuned) -> list[Condition]:
        """Return the conditions of one rule; loggers that must be folded again are left as they are."""
        rule = one.rule
        found: list[Condition] = []
        if _is_of_device(type(rule)):
            for logger, moment in self.moments:
                state = logger.checkpoint.rules.get(one.kind)
                if state is None:
                    continue
                look = rule.look(one.tuning, self.journey, state, moment)
                if look is not NOTHING or self.on_record:
                    found += self._follow(one, look, [state], logger.moment)
            return found
        states = [
            logger.checkpoint.rules[one.kind]
            for logger in self.loggers
            if one.kind in logger.checkpoint.rules
        ]
        if len(states) == len(self.loggers):
            look = rule.look(one.tuning, self.journey, states, stretched_moment(self.facts, self.whole))
            if look is not NOTHING or self.on_record:
                found += self._follow(one, look, states, self.whole)
        return found

    def _follow(self, one: Tuned, look: Look, states: Sequence[Any], moment: Moment) -> Iterator[Condition]:
        look = look if look is NOTHING else on_the_clock(self.facts, look)
        if moment.over is None and look.again_at is not None and look.again_at > moment.through:
            self.deadlines.append(look.again_at)
        subject = one.kind.value if moment.device_id is None else f"{one.kind}:{moment.device_id}"
        if look.found is None and subject not in self.on_record and not one.rule.apart:
            return  # nearly always
        found: list[tuple[str, str | None, Finding | None]] = [(subject, None, look.found)]
        found += [(f"{subject}:{name}", name, look.apart.get(name)) for name in one.rule.apart]
        for of_subject, name, each in found:
            alert = self.on_record.get(of_subject)
            if each is None and alert is None:
                continue
            told = None if each is None else _condition(one.kind, of_subject, moment.device_id, each)
            if moment.over is not None:
                condition = _over(alert, told, moment.over)
            elif told is not None and self._is_held_back(told, alert):
                self.held_back += 1
                self.deadlines.append(moment.through + LOOK_AGAIN_AFTER)
                continue
            elif told is not None or alert is None:
                condition = told
            else:
                condition = _gone(self.facts, one, states, name, alert)
            if condition is not None:
                yield condition

    def _is_held_back(self, told: Condition, alert: Alert | None) -> bool:
        """Return whether this would raise an alert that one for the whole fleet already covers."""
        raised = alert is not None and alert.condition.holds
        return told.kind in self.kinds_held_back and told.until is None and not raised


def look_around(
    facts: Facts,
    tuned: Sequence[Tuned],
    loggers: Sequence[WatchedLogger],
    whole: Moment,
    on_record: Mapping[str, Alert],
    held_back: frozenset[AlertKind] = frozenset(),
) -> Findings:
    """Let each rule look at each logger, or at all at once; an error in one rule affects no other."""
    moments = [(logger, stretched_moment(facts, logger.moment)) for logger in loggers]
    looking = _RuleLook(facts, stretched(facts), loggers, moments, whole, on_record, held_back)
    conditions: list[Condition] = []
    errors: dict[AlertKind, Exception] = {}
    for one in tuned:
        try:
            conditions += looking.by(one)
        except Exception as error:  # noqa: BLE001 -- whatever it is, other rules must not fail with it
            errors[one.kind] = error
    conditions += _switched_off(tuned, on_record)
    return Findings(
        conditions=conditions, deadlines=looking.deadlines, errors=errors, held_back=looking.held_back
    )


@cache
def _is_of_device(rule: type[Any]) -> bool:
    return issubclass(rule, DeviceRule)


def _condition(kind: AlertKind, subject: str, device_id: str | None, found: Finding) -> Condition:
    return Condition(
        subject=subject,
        kind=kind,
        severity=found.severity,
        device_id=device_id,
        message=found.message,
        since=found.since,
        until=found.until,
        details=orjson.loads(orjson.dumps(dict(found.details))) if found.details else {},
    )


def _over(alert: Alert | None, told: Condition | None, over: Instant) -> Condition | None:
    """End what held when the shipment ended; nothing new begins."""
    if alert is None or not alert.condition.holds:
        return None
    last = alert.condition if told is None else told
    return last if last.until is not None else replace(last, until=max(over, last.since))


def _gone(
    facts: Facts, one: Tuned, states: Sequence[Any], name: str | None, alert: Alert
) -> Condition | None:
    """Return what becomes of a condition that its rule no longer finds."""
    if not one.rule.about_now:
        return withdrawn(alert.condition)
    if not alert.condition.holds:
        return None
    until = one.rule.ended(states, facts.stretch(alert.condition.since), name)
    until = None if until is None else facts.on_the_clock(until)
    return withdrawn(alert.condition) if until is None else replace(alert.condition, until=until)


def _switched_off(tuned: Sequence[Tuned], on_record: Mapping[str, Alert]) -> Iterator[Condition]:
    off = _KINDS - {one.kind for one in tuned}
    for alert in on_record.values():
        if alert.condition.kind in off and alert.condition.holds:
            yield withdrawn(alert.condition)
