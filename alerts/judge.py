"""Pure: from what is known of a due shipment to what has to be written and told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from alerts.alert import (
    Alert,
    AlertChange,
    Condition,
    advance,
    budget_condition,
    excursion_condition,
    probe_condition,
    raise_alert,
    withdrawn,
)
from alerts.excursion import Evaluation, State, finish, fold
from alerts.model import Change, Excursion, Instant, Reason, Sample, Window
from alerts.plan import Plan
from alerts.reconcile import reconcile, unsettled


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One logger of a due shipment: when it was on it, how far it was folded, and what is on record."""

    device_id: str
    starts_at: Instant
    ends_at: Instant | None
    state: State | None
    """Folded so far; None where it must be folded from the start."""
    excursions: tuple[Excursion, ...] = ()
    """Those that are live on record."""
    cause: Reason = Reason.LATE_DATA
    """Why it is folded from the start, if it is: what was told before may change for this reason."""

    def admits(self, window: Window) -> tuple[Instant, Instant | None]:
        """Give the stretch, half open, whose readings count: on this shipment, and in its window."""
        ends = [end for end in (self.ends_at, window.delivered_at) if end is not None]
        return max(self.starts_at, window.departed_at), min(ends, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueShipment:
    """A shipment that is to be evaluated, with all that its judgement depends on but the readings."""

    shipment_id: str
    organization: str | None
    drill: bool
    plan: Plan
    plan_revision: int
    window: Window | None
    """None until departure, and for one that was cancelled before it."""
    devices: tuple[Device, ...]
    alerts: Mapping[str, Alert]
    """By subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceVerdict:
    """What became of one device."""

    device_id: str
    state: State | None
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStep:
    """An alert's change, beside what it was."""

    before: Alert | None
    change: AlertChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What has to be written and told of one shipment, and when to look again if no reading comes first."""

    shipment: DueShipment
    devices: tuple[DeviceVerdict, ...]
    alerts: tuple[AlertStep, ...]
    evaluate_at: Instant | None


@dataclass(slots=True)
class _Alerts:
    """The shipment's alerts as they change under one judgement."""

    shipment: DueShipment
    now: Instant
    new_id: Callable[[], str]
    steps: list[AlertStep] = field(default_factory=list)

    def hold(self, condition: Condition) -> None:
        """Bring the alert of a condition to what the condition is now."""
        before = self.shipment.alerts.get(condition.subject)
        changes = (
            raise_alert(self.new_id(), self.shipment.shipment_id, condition, self.now)
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
        elif (alert := self.shipment.alerts.get(subject)) is not None:
            self.hold(withdrawn(alert.condition))


def judge(
    shipment: DueShipment,
    samples: Mapping[str, Sequence[Sample]],
    now: Instant,
    new_id: Callable[[], str],
) -> Verdict:
    """Fold in the new readings of each device, and give every change that follows.

    `samples` are, by device, the readings after its folded state, or all of its stretch where it has none.
    """
    alerts = _Alerts(shipment, now, new_id)
    devices, deadlines = [], []
    for device in shipment.devices:
        if shipment.window is None:
            verdict = DeviceVerdict(device_id=device.device_id, state=None, changes=())
        else:
            verdict, evaluation = _judge_device(
                shipment, device, shipment.window, samples.get(device.device_id, ()), now, new_id
            )
            ends_at = shipment.window.delivered_at
            over = ends_at if evaluation.through == ends_at else None
            deadlines += [evaluation.next_deadline, ends_at if over is None else None]
            _alert_device(alerts, device, verdict, evaluation, over)
        devices.append(verdict)
    return Verdict(
        shipment=shipment,
        devices=tuple(devices),
        alerts=tuple(alerts.steps),
        evaluate_at=min((at for at in deadlines if at is not None), default=None),
    )


def _judge_device(
    shipment: DueShipment,
    device: Device,
    window: Window,
    samples: Iterable[Sample],
    now: Instant,
    new_id: Callable[[], str],
) -> tuple[DeviceVerdict, Evaluation]:
    state, closed = fold(shipment.plan, window, device.state or State(), samples)
    evaluation = finish(shipment.plan, window, state, now, closed)
    on_record = device.excursions if device.state is None else unsettled(device.excursions)
    changes = reconcile(on_record, evaluation.excursions, now=now, new_id=new_id, cause=device.cause)
    return DeviceVerdict(device_id=device.device_id, state=state, changes=tuple(changes)), evaluation


def _alert_device(
    alerts: _Alerts, device: Device, verdict: DeviceVerdict, evaluation: Evaluation, over: Instant | None
) -> None:
    plan, device_id = alerts.shipment.plan, device.device_id
    for change in verdict.changes:
        alerts.hold(excursion_condition(plan, device_id, change.after))
    assert verdict.state is not None
    alerts.hold_or_withdraw(f"budget_exhausted:{device_id}", budget_condition(plan, device_id, evaluation))
    alerts.hold_or_withdraw(f"probe_fault:{device_id}", probe_condition(device_id, verdict.state, over))
