"""Pure: turns excursions, exhausted budgets and failed evaluations into conditions for alerts."""

from dataclasses import replace

from alerts import wording
from alerts.alert_kinds import KINDS
from alerts.excursions.fold import Evaluation
from alerts.excursions.plan import Plan
from alerts.model import LIVE, AlertKind, Condition, Excursion, ExcursionState, Instant, Run, Severity, Side
from alerts.wording import temperature

EVALUATION_FAILED = "evaluation_failed"
"""The subject of the alert for a shipment that could not be evaluated; a shipment has at most one."""


def excursion_subject(excursion: Excursion) -> str:
    """Return the subject of an excursion's alert."""
    return f"excursion:{excursion.id}"


def excursion_condition(plan: Plan, device_id: str, excursion: Excursion) -> Condition | None:
    """Return the condition for an excursion's alert; None if the excursion is not live.

    One that is not live may not be describable: a changed plan may have no limit on its side.
    """
    if excursion.state not in LIVE:
        return None
    return Condition(
        subject=excursion_subject(excursion),
        kind=AlertKind.EXCURSION,
        severity=excursion.run.severity,
        device_id=device_id,
        message=excursion_message(plan, excursion.run),
        since=excursion.run.start,
        until=excursion.run.end if excursion.state is ExcursionState.CLOSED else None,
        excursion_id=excursion.id,
    )


def budget_condition(plan: Plan, device_id: str, evaluation: Evaluation) -> Condition | None:
    """Return the condition for an exhausted stability budget; None while some of it is left."""
    at = evaluation.figures.budget_exhausted_at
    if at is None or plan.budget is None:
        return None
    budget = wording.duration(round(plan.budget * plan.time_lapse))  # in the time of the journey
    return Condition(
        subject=f"budget_exhausted:{device_id}",
        kind=AlertKind.BUDGET_EXHAUSTED,
        severity=KINDS[AlertKind.BUDGET_EXHAUSTED].severity,
        device_id=device_id,
        message=f"Stability budget of {budget} out of range used up",
        since=at,
    )


def withdrawn(condition: Condition) -> Condition:
    """Return a condition as withdrawn: its rule no longer finds it, and it did not end either."""
    return replace(condition, withdrawn=True)


def failed_condition(error: str, now: Instant) -> Condition:
    """Return the condition for a failed evaluation: excursions may have been missed."""
    return Condition(
        subject=EVALUATION_FAILED,
        kind=AlertKind.EVALUATION_FAILED,
        severity=Severity.CRITICAL,
        device_id=None,
        message=f"This shipment could not be judged, excursions may be missing: {error}",
        since=now,
    )


def rule_failed_condition(kind: AlertKind, error: str, now: Instant) -> Condition:
    """Return the condition for the failure of one rule; all other rules were evaluated."""
    return Condition(
        subject=rule_failed(kind),
        kind=AlertKind.EVALUATION_FAILED,
        severity=Severity.MAJOR,
        device_id=None,
        message=f"The rule {kind} could not be judged, and what it would find is not known: {error}",
        since=now,
        details={"rule": str(kind)},
    )


def rule_failed(kind: AlertKind) -> str:
    """Return the subject of the alert for a rule that fails on a shipment."""
    return f"{EVALUATION_FAILED}:{kind}"


def excursion_message(plan: Plan, run: Run) -> str:
    """Return an excursion in words: `Payload above −150 °C, peak −128.1 °C, beyond the critical −135 °C`."""
    high = run.side is Side.HIGH
    limit = plan.limits.upper_c if high else plan.limits.lower_c
    critical = plan.limits.critical_high_c if high else plan.limits.critical_low_c
    word = "above" if high else "below"
    assert limit is not None  # a run on a side without a limit does not exist
    text = f"Payload {word} {temperature(limit)}, peak {temperature(run.peak_c)}"
    if run.severity is Severity.CRITICAL and critical is not None:
        text += f", beyond the critical {temperature(critical)}"
    return text
