"""Pure: what the rules of a shipment find at an instant, as conditions that its alerts follow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from alerts.alert import Alert, AlertKind, AlertState, Condition
from alerts.conditions import withdrawn
from alerts.model import Instant
from alerts.rules.facts import Facts
from alerts.rules.registry import RULES, Tuned
from alerts.rules.rule import DeviceRule, Found, Look, Moment
from alerts.standing import Standing

_KINDS = frozenset(rule.kind for rule in RULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of a look by all rules."""

    conditions: Sequence[Condition]
    """Those that alerts have to follow, also those that ended or that it turned out never were."""
    deadlines: Sequence[Instant]
    errors: Mapping[AlertKind, Exception]
    """The rules that failed; of those nothing is among the conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logger:
    """One logger of the shipment, how far it is folded, and when it is looked at."""

    standing: Standing
    moment: Moment


@dataclass(slots=True)
class _Looking:
    facts: Facts
    loggers: Sequence[Logger]
    whole: Moment
    on_record: Mapping[str, Alert]
    deadlines: list[Instant] = field(default_factory=list)

    def by(self, one: Tuned) -> Iterator[Condition]:
        """Give the conditions of one rule; what it is to be folded for again is left as it is."""
        rule = one.rule
        known = [logger for logger in self.loggers if one.kind in logger.standing.rules]
        if isinstance(rule, DeviceRule):
            for logger in known:
                state, moment = logger.standing.rules[one.kind], logger.moment
                look = rule.look(one.tuning, self.facts, state, moment)
                yield from self._follow(one, look, [state], moment)
        elif len(known) == len(self.loggers):
            states = [logger.standing.rules[one.kind] for logger in known]
            look = rule.look(one.tuning, self.facts, states, self.whole)
            yield from self._follow(one, look, states, self.whole)

    def _follow(self, one: Tuned, look: Look, states: Sequence[Any], moment: Moment) -> Iterator[Condition]:
        if moment.over is None and look.again_at is not None and look.again_at > moment.through:
            self.deadlines.append(look.again_at)
        subject = one.kind if moment.device_id is None else f"{one.kind}:{moment.device_id}"
        found: list[tuple[str, str | None, Found | None]] = [(subject, None, look.found)]
        found += [(f"{subject}:{name}", name, look.apart.get(name)) for name in one.rule.apart]
        for of_subject, name, each in found:
            alert = self.on_record.get(of_subject)
            if each is None and alert is None:
                continue
            told = None if each is None else _condition(one.kind, of_subject, moment.device_id, each)
            if moment.over is not None:
                condition = _over(alert, told, moment.over)
            elif told is not None or alert is None:
                condition = told
            else:
                condition = _gone(one, states, name, alert)
            if condition is not None:
                yield condition


def look_around(
    facts: Facts,
    tuned: Sequence[Tuned],
    loggers: Sequence[Logger],
    whole: Moment,
    on_record: Mapping[str, Alert],
) -> Looked:
    """Let each rule look at each logger, or at all of them at once; one that raises is told of, and costs no other."""
    looking, conditions, errors = _Looking(facts, loggers, whole, on_record), [], {}
    for one in tuned:
        try:
            conditions += list(looking.by(one))
        except Exception as error:  # noqa: BLE001 -- whatever it is, other rules must not fail with it
            errors[one.kind] = error
    conditions += _switched_off(tuned, on_record)
    return Looked(conditions=conditions, deadlines=looking.deadlines, errors=errors)


def _condition(kind: AlertKind, subject: str, device_id: str | None, found: Found) -> Condition:
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
    """End what held when the shipment ended; nothing begins any more."""
    if alert is None or alert.state is AlertState.RESOLVED:
        return None
    last = alert.condition if told is None else told
    return last if last.until is not None else replace(last, until=max(over, last.since))


def _gone(one: Tuned, states: Sequence[Any], name: str | None, alert: Alert) -> Condition | None:
    """Give what becomes of a condition that its rule finds no longer."""
    if not one.rule.about_now:
        return withdrawn(alert.condition)
    if alert.state is AlertState.RESOLVED:
        return None
    until = one.rule.ended(states, alert.condition.since, name)
    return withdrawn(alert.condition) if until is None else replace(alert.condition, until=until)


def _switched_off(tuned: Sequence[Tuned], on_record: Mapping[str, Alert]) -> Iterator[Condition]:
    off = _KINDS - {one.kind for one in tuned}
    for alert in on_record.values():
        if alert.condition.kind in off and alert.state is not AlertState.RESOLVED:
            yield withdrawn(alert.condition)
