"""Pure: judges a due shipment: from all that is known of it to what must be written and reported."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from alerts.evaluation.judging.checkpoint import RETRY_AFTER, Checkpoint, fold_forward
from alerts.evaluation.judging.departure import SUBJECT as DEPARTURE_LATE
from alerts.evaluation.judging.departure import DepartureFacts, look_at_departure
from alerts.evaluation.judging.look import Findings, WatchedLogger, look_by_rules
from alerts.excursions.fold import Evaluation, finish
from alerts.excursions.phases import LoggerState
from alerts.excursions.plan import Plan
from alerts.excursions.reconcile import reconcile, unsettled
from alerts.excursions.trace import Trace
from alerts.model import AlertKind, Change, Condition, Excursion, Instant, Reason, Window
from alerts.rules.facts import Facts
from alerts.rules.registry import TunedRule, tuned_rules
from alerts.rules.rule import LookTime
from alerts.triage import conditions
from alerts.triage.alert import Alert, AlertStep, follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which shipment it is, and who may see it."""

    shipment_id: str
    organization: str | None
    drill: bool
    alerts: Mapping[str, Alert]
    """The alerts on record that this judgement may change, by subject."""
    judged_revision: int = 0
    """Of the shipment, up to which what people did to it had been judged before; 0: it never was judged."""
    newest_revision: int = 0
    """Up to which it is judged now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One logger of a due shipment: how far it was folded, what arrived since, and what is on record."""

    device_id: str
    checkpoint: Checkpoint
    """The last safe point before everything that is new; an empty checkpoint if there is none."""
    trace: Trace
    """All readings after the checkpoint that were measured while the logger was on this shipment."""
    window: Window | None = None
    """When that was, within the shipment's window; None: all of it."""
    refolds: bool = False
    """The checkpoint is not the newest that was stored: what was folded after it is no longer valid."""
    excursions: tuple[Excursion, ...] = ()
    """The live excursions on record, at least all that no reading up to the state has ended."""
    cause: Reason = Reason.LATE_DATA
    """Why what was reported before may change."""

    @property
    def state(self) -> LoggerState:
        """The state of its excursions."""
        return self.checkpoint.state


@dataclass(frozen=True, slots=True, kw_only=True)
class DueShipment:
    """A shipment to be judged, with all that its judgement depends on."""

    identity: Identity
    plan_revision: int
    facts: Facts | None
    """None until departure, and for a shipment that was cancelled before it."""
    watched_from: Instant
    """Since when the departure has been known: nobody could miss its loggers before that."""
    devices: tuple[Device, ...]
    departure_facts: DepartureFacts | None = None
    held_back: frozenset[AlertKind] = frozenset()
    """Kinds that raise no new alerts for now, because one alert for the whole fleet covers them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceVerdict:
    """The result for one device."""

    device: Device
    checkpoint: Checkpoint
    changes: tuple[Change, ...]
    safe_points: tuple[Checkpoint, ...]
    told_late: tuple[Excursion, ...] = ()
    """Excursions that are as they were, and whose peak is told only now; see `alerts.excursions.telling`."""

    @property
    def state(self) -> LoggerState:
        """The state of its excursions."""
        return self.checkpoint.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What must be written and reported of one shipment, and when to judge it again without readings."""

    identity: Identity
    plan_revision: int
    devices: tuple[DeviceVerdict, ...]
    alerts: tuple[AlertStep, ...]
    evaluate_at: Instant | None
    errors: Mapping[AlertKind, Exception] = field(default_factory=dict)
    """The rules that failed, and their errors."""
    held_back: int = 0
    """The number of alerts that were not raised, because one for the whole fleet covers them."""


@dataclass(slots=True)
class _Alerts:
    """The shipment's alerts as they change during one judgement."""

    identity: Identity
    now: Instant
    new_id: Callable[[], str]
    steps: list[AlertStep] = field(default_factory=list)

    def update(self, condition: Condition) -> None:
        """Update the alert of a condition to what the condition is now."""
        before = self.identity.alerts.get(condition.subject)
        self.steps += follow(before, self.identity.shipment_id, condition, self.now, self.new_id)

    def update_or_withdraw(self, subject: str, condition: Condition | None) -> None:
        """Update the alert of a condition, or withdraw it if its rule no longer finds the condition."""
        if condition is not None:
            self.update(condition)
        elif (alert := self.identity.alerts.get(subject)) is not None:
            self.update(conditions.withdrawn(alert.condition))

    def end(self, subject: str) -> None:
        """End the alert of a condition that is over, if there is one."""
        alert = self.identity.alerts.get(subject)
        if alert is not None and alert.condition.holds:
            self.update(replace(alert.condition, until=max(self.now, alert.condition.since)))

    def failed(self, kind: AlertKind, error: Exception | None) -> None:
        """Raise an alert for a rule that fails: the first failure raises it, and later ones add nothing."""
        before = self.identity.alerts.get(conditions.rule_failed(kind))
        if error is not None and (before is None or not before.condition.holds):
            why = f"{type(error).__name__}: {error}"
            self.update(conditions.rule_failed_condition(kind, why, self.now))


def judge(shipment: DueShipment, now: Instant, new_id: Callable[[], str]) -> Verdict:
    """Fold in the new readings of each device, apply the rules, and return all resulting changes."""
    alerts = _Alerts(shipment.identity, now, new_id)
    alerts.end(conditions.EVALUATION_FAILED)
    devices: list[DeviceVerdict] = []
    deadlines: list[Instant] = []
    errors: dict[AlertKind, Exception] = {}
    held_back = 0
    facts = shipment.facts
    if shipment.departure_facts is not None:
        deadlines += _judge_departure(alerts, shipment.departure_facts)
    if facts is not None:
        rules = tuned_rules(facts.plan)
        loggers = []
        for device in shipment.devices:
            verdict, evaluation, failed = _judge_device(facts, rules, device, now, new_id)
            errors |= failed
            look_time = _look_time(shipment, facts, evaluation, device)
            _alert_device(alerts, facts.plan, verdict, evaluation)
            if look_time.shipment_ended_at is None:
                deadlines += _deadlines(device.window or facts.window, evaluation)
            devices.append(verdict)
            loggers.append(WatchedLogger(checkpoint=verdict.checkpoint, look_time=look_time))
        if loggers:
            findings = _apply_rules(alerts, shipment.held_back, facts, rules, loggers)
            errors |= findings.errors
            deadlines += findings.deadlines
            held_back = findings.held_back
            deadlines += _alert_on_failures(alerts, rules, loggers, errors)
    return Verdict(
        identity=shipment.identity,
        plan_revision=shipment.plan_revision,
        devices=tuple(devices),
        alerts=tuple(alerts.steps),
        evaluate_at=min(deadlines, default=None),
        errors=errors,
        held_back=held_back,
    )


def _judge_departure(alerts: _Alerts, departure_facts: DepartureFacts) -> Iterator[Instant]:
    """Update the alert for a late departure; yield when it changes by the clock."""
    findings = look_at_departure(departure_facts, alerts.identity.alerts.get(DEPARTURE_LATE), alerts.now)
    if findings.condition is not None:
        alerts.update(findings.condition)
    if findings.again_at is not None:
        yield findings.again_at


def _look_time(shipment: DueShipment, facts: Facts, evaluation: Evaluation, device: Device) -> LookTime:
    """Return when a logger is looked at; for one that was taken off, the shipment ended then."""
    window = device.window or facts.window
    return LookTime(
        through=evaluation.through,
        watched_from=max(shipment.watched_from, window.departed_at),
        shipment_ended_at=window.delivered_at if evaluation.through == window.delivered_at else None,
        device_id=device.device_id,
    )


def _deadlines(window: Window, evaluation: Evaluation) -> list[Instant]:
    """Return when an excursion changes even if no reading arrives, and the end of the shipment."""
    return [
        at
        for at in (evaluation.next_deadline, window.delivered_at)
        if at is not None and at > evaluation.through
    ]


def _apply_rules(
    alerts: _Alerts,
    held_back: frozenset[AlertKind],
    facts: Facts,
    rules: Sequence[TunedRule],
    loggers: Sequence[WatchedLogger],
) -> Findings:
    """Update alerts by what the rules find."""
    latest = max((logger.look_time for logger in loggers), key=lambda look_time: look_time.through)
    ended_at = facts.window.delivered_at
    shipment_time = replace(
        latest,
        device_id=None,
        watched_from=min(logger.look_time.watched_from for logger in loggers),
        shipment_ended_at=ended_at if latest.through == ended_at else None,
    )
    findings = look_by_rules(facts, rules, loggers, shipment_time, alerts.identity.alerts, held_back)
    for condition in findings.conditions:
        alerts.update(condition)
    return findings


def _alert_on_failures(
    alerts: _Alerts,
    rules: Sequence[TunedRule],
    loggers: Sequence[WatchedLogger],
    errors: Mapping[AlertKind, Exception],
) -> Iterator[Instant]:
    """Raise alerts for rules that fail, and end those of rules that recovered; yield when to try again."""
    waiting = {kind for logger in loggers for kind in logger.checkpoint.failed}
    for kind in sorted(waiting | errors.keys()):
        yield alerts.now + RETRY_AFTER
        alerts.failed(kind, errors.get(kind))
    failures_on_record = [
        name for name in alerts.identity.alerts if name.startswith(conditions.EVALUATION_FAILED)
    ]
    for rule in rules if failures_on_record else ():
        if rule.kind not in waiting and rule.kind not in errors:
            alerts.end(conditions.rule_failed(rule.kind))


def set_aside(identity: Identity, error: str, now: Instant, new_id: Callable[[], str]) -> Verdict:
    """Report a shipment whose judgement failed: the first failure raises an alert, later ones add nothing."""
    before = identity.alerts.get(conditions.EVALUATION_FAILED)
    alerts = _Alerts(identity, now, new_id)
    if before is None or not before.condition.holds:
        alerts.update(conditions.failed_condition(error, now))
    return Verdict(
        identity=identity, plan_revision=0, devices=(), alerts=tuple(alerts.steps), evaluate_at=None
    )


def _judge_device(
    facts: Facts, rules: Sequence[TunedRule], device: Device, now: Instant, new_id: Callable[[], str]
) -> tuple[DeviceVerdict, Evaluation, Mapping[AlertKind, Exception]]:
    window = device.window or facts.window
    forward = fold_forward(facts, rules, device.checkpoint, device.trace, now + RETRY_AFTER, window)
    evaluation = finish(facts.plan, window, forward.checkpoint.state, now, forward.folded.closed)
    changes = reconcile(
        unsettled(device.excursions, device.state.seen),
        evaluation.excursions,
        now=now,
        new_id=new_id,
        cause=device.cause,
    )
    verdict = DeviceVerdict(
        device=device,
        checkpoint=forward.checkpoint,
        changes=tuple(changes),
        safe_points=forward.safe_points,
    )
    return verdict, evaluation, forward.errors


def _alert_device(alerts: _Alerts, plan: Plan, verdict: DeviceVerdict, evaluation: Evaluation) -> None:
    device_id = verdict.device.device_id
    for change in verdict.changes:
        condition = conditions.excursion_condition(plan, device_id, change.after)
        alerts.update_or_withdraw(f"excursion:{change.after.id}", condition)
    budget = conditions.budget_condition(plan, device_id, evaluation)
    alerts.update_or_withdraw(f"budget_exhausted:{device_id}", budget)
