"""Pure: from what is known of a due shipment to what has to be written and told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from alerts import conditions
from alerts.alert import Alert, AlertChange, AlertState, Condition, advance, raise_alert
from alerts.excursion import Evaluation, finish
from alerts.folding import bring_forward
from alerts.model import Change, Excursion, Instant, Reason, Window
from alerts.plan import Plan
from alerts.reconcile import reconcile, unsettled
from alerts.state import State
from alerts.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which shipment it is, and who may hear of it."""

    shipment_id: str
    organization: str | None
    drill: bool
    alerts: Mapping[str, Alert]
    """Those on record that this judgement may change, by subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One logger of a due shipment: how far it was folded, what came since then, and what is on record."""

    device_id: str
    state: State
    """That of the last safe point before everything that is new; an empty one where there is none."""
    trace: Trace
    """All readings after that state that were measured while the logger was on this shipment."""
    quiet_until: Instant | None = None
    """How long a silence the newest of them announced."""
    refolds: bool = False
    """The state is not the newest one that was stored: what was folded after it is no longer true."""
    excursions: tuple[Excursion, ...] = ()
    """Those that are live on record, at least all that no reading up to the state has ended."""
    cause: Reason = Reason.LATE_DATA
    """Why what was told before may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueShipment:
    """A shipment that is to be evaluated, with all that its judgement depends on."""

    identity: Identity
    plan: Plan
    plan_revision: int
    window: Window | None
    """None until departure, and for one that was cancelled before it."""
    watched_from: Instant
    """Since when it is known that it departed: before that nobody could miss its loggers."""
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceVerdict:
    """What became of one device."""

    device: Device
    state: State
    changes: tuple[Change, ...]
    safe_points: tuple[State, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStep:
    """An alert's change, beside what it was."""

    before: Alert | None
    change: AlertChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What has to be written and told of one shipment, and when to look again if no reading comes first."""

    identity: Identity
    plan_revision: int
    devices: tuple[DeviceVerdict, ...]
    alerts: tuple[AlertStep, ...]
    evaluate_at: Instant | None


@dataclass(slots=True)
class _Alerts:
    """The shipment's alerts as they change under one judgement."""

    identity: Identity
    now: Instant
    new_id: Callable[[], str]
    steps: list[AlertStep] = field(default_factory=list)

    def hold(self, condition: Condition) -> None:
        """Bring the alert of a condition to what the condition is now."""
        before = self.identity.alerts.get(condition.subject)
        changes = (
            raise_alert(self.new_id(), self.identity.shipment_id, condition, self.now)
            if before is None
            else advance(before, condition, self.now)
        )
        for change in changes:
            self.steps.append(AlertStep(before=before, change=change))
            before = change.alert

    def hold_or_withdraw(self, subject: str, condition: Condition | None) -> None:
        """Do the same for a condition that its rule may find no longer."""
        if condition is not None:
            self.hold(condition)
        elif (alert := self.identity.alerts.get(subject)) is not None:
            self.hold(conditions.withdrawn(alert.condition))

    def end(self, subject: str) -> None:
        """End the alert of a condition that is over, where there is one."""
        alert = self.identity.alerts.get(subject)
        if alert is not None and alert.state is not AlertState.RESOLVED:
            self.hold(replace(alert.condition, until=max(self.now, alert.condition.since)))


def judge(shipment: DueShipment, now: Instant, new_id: Callable[[], str]) -> Verdict:
    """Fold in the new readings of each device, and give every change that follows."""
    alerts = _Alerts(shipment.identity, now, new_id)
    alerts.end(conditions.EVALUATION_FAILED)
    devices: list[DeviceVerdict] = []
    deadlines: list[Instant] = []
    window = shipment.window
    if window is not None:
        for device in shipment.devices:
            verdict, evaluation = _judge_device(shipment, device, window, now, new_id)
            over = window.delivered_at if evaluation.through == window.delivered_at else None
            _alert_device(alerts, shipment, verdict, evaluation, over)
            if over is None:
                deadlines += _deadlines(shipment, window, verdict, evaluation)
            devices.append(verdict)
    return Verdict(
        identity=shipment.identity,
        plan_revision=shipment.plan_revision,
        devices=tuple(devices),
        alerts=tuple(alerts.steps),
        evaluate_at=min(deadlines, default=None),
    )


def _deadlines(
    shipment: DueShipment, window: Window, verdict: DeviceVerdict, evaluation: Evaluation
) -> list[Instant]:
    """Give the instants at which something changes for a device although no reading comes."""
    heard_until = conditions.heard_until(shipment.plan, verdict.state, shipment.watched_from)
    return [
        at
        for at in (evaluation.next_deadline, window.delivered_at, heard_until)
        if at is not None and at > evaluation.through
    ]


def set_aside(identity: Identity, error: str, now: Instant, new_id: Callable[[], str]) -> Verdict:
    """Tell of a shipment whose judgement failed: the first failure fires, and later ones add nothing."""
    before = identity.alerts.get(conditions.EVALUATION_FAILED)
    alerts = _Alerts(identity, now, new_id)
    if before is None or before.state is AlertState.RESOLVED:
        alerts.hold(conditions.failed_condition(error, now))
    return Verdict(
        identity=identity, plan_revision=0, devices=(), alerts=tuple(alerts.steps), evaluate_at=None
    )


def _judge_device(
    shipment: DueShipment, device: Device, window: Window, now: Instant, new_id: Callable[[], str]
) -> tuple[DeviceVerdict, Evaluation]:
    folded = bring_forward(shipment.plan, window, device.state, device.trace)
    state = folded.state
    if state.seen != device.state.seen:  # something was folded in, the newest reading among it
        state = replace(state, quiet_until=device.quiet_until)
    evaluation = finish(shipment.plan, window, state, now, folded.closed)
    changes = reconcile(
        unsettled(device.excursions, device.state.seen),
        evaluation.excursions,
        now=now,
        new_id=new_id,
        cause=device.cause,
    )
    verdict = DeviceVerdict(
        device=device, state=state, changes=tuple(changes), safe_points=folded.safe_points
    )
    return verdict, evaluation


def _alert_device(
    alerts: _Alerts,
    shipment: DueShipment,
    verdict: DeviceVerdict,
    evaluation: Evaluation,
    over: Instant | None,
) -> None:
    plan, device_id = shipment.plan, verdict.device.device_id
    for change in verdict.changes:
        condition = conditions.excursion_condition(plan, device_id, change.after)
        alerts.hold_or_withdraw(f"excursion:{change.after.id}", condition)
    budget = conditions.budget_condition(plan, device_id, evaluation)
    alerts.hold_or_withdraw(f"budget_exhausted:{device_id}", budget)
    probe = conditions.probe_condition(device_id, verdict.state, over)
    alerts.hold_or_withdraw(f"probe_fault:{device_id}", probe)
    signal = conditions.signal_condition(
        plan,
        device_id,
        verdict.state,
        watched_from=shipment.watched_from,
        through=evaluation.through,
        over=over,
        alert=shipment.identity.alerts.get(f"signal_lost:{device_id}"),
    )
    if signal is not None:
        alerts.hold(signal)
