"""Pure: what of the service can fail so that danger would go unheard, and the alert that follows it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from alerts.model import AlertKind, Condition, Instant, Severity
from alerts.triage.alert import Alert


class Part(StrEnum):
    """The parts that can fail by themselves. The names are in metrics, in `/readyz` and in the subjects of alerts."""

    STORING = "storing"
    """Readings that have arrived are not stored."""
    BROKER = "broker"
    """There is no connection to the broker."""
    ACCOUNTS = "accounts"
    """Loggers have no account at the broker, or would have none after its next start."""
    CLOCK = "clock"
    """The clocks of the service and of the database differ."""
    JUDGING = "judging"
    """Shipments that are due are not judged."""
    TELLING = "telling"
    """Alerts wait, and people are not told of them."""
    MAIL = "mail"
    """The mail server accepts nothing."""


CRITICAL: Final = frozenset(Part) - {Part.CLOCK}
TOLD_AFTER_S: Final = 15.0
"""What passes sooner is no fault, but a restart or a moment of much to do."""


class Fault(NamedTuple):
    """What does not work in this process."""

    part: Part
    for_s: float
    """For how long, by a steady clock."""
    problem: str
    """What is wrong and what to do, for an operator; no addresses and no secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What processes say of one part."""

    since: Instant
    problem: str
    """Of the process that found it first."""
    processes: int
    critical: bool


def subject_of(part: Part) -> str:
    """Return the subject of the alert for a part."""
    return f"service_fault:{part}"


def fault_condition(
    part: Part, reported: Reported | None, alert: Alert | None, now: Instant
) -> Condition | None:
    """Return what the alert for a part must follow; None if nothing has changed."""
    is_raised = alert is not None and alert.condition.holds
    if reported is None:
        if not is_raised:
            return None
        assert alert is not None
        return replace(alert.condition, until=max(now, alert.condition.since))
    condition = _condition(part, reported)
    if not is_raised:
        return condition
    assert alert is not None
    # The figures in a problem change all the time: people are told anew of what is worse in kind.
    worse = condition.severity is Severity.CRITICAL and alert.condition.severity is Severity.MAJOR
    return replace(condition, since=alert.condition.since) if worse else None


def _condition(part: Part, reported: Reported) -> Condition:
    return Condition(
        subject=subject_of(part),
        kind=AlertKind.SERVICE_FAULT,
        severity=Severity.CRITICAL if reported.critical else Severity.MAJOR,
        device_id=None,
        message=reported.problem,
        since=reported.since,
        details={"part": part, "processes": reported.processes},
    )


def worst_first(faults: Sequence[Fault]) -> list[Fault]:
    """Return the faults, the critical ones first, and of these the longest."""
    return sorted(faults, key=lambda fault: (fault.part not in CRITICAL, -fault.for_s))
