"""Pure: a planned departure that passed without the shipment departing, which the clock alone shows."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from alerts import wording
from alerts.alert_kinds import KINDS
from alerts.excursions.plan import Plan
from alerts.model import SECOND, AlertKind, Condition, Duration, Instant
from alerts.rules.kinds.late import LateTuning
from alerts.rules.registry import tuned_rules
from alerts.triage.alert import Alert, AlertState
from alerts.triage.conditions import withdrawn

SUBJECT: Final = f"{AlertKind.LATE}:departure"
TO_TELL_OF_IT: Final[Duration] = 60 * SECOND
"""How long it may take to tell of a departure, also of a simulated journey that takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartureFacts:
    """What is known of a departure: `known_from` is when the shipment was created, `ended_at` when cancelled."""

    plan: Plan
    known_from: Instant
    planned: Instant | None = None
    departed_at: Instant | None = None
    ended_at: Instant | None = None


class DepartureLook(NamedTuple):
    """What the alert must follow, None if nothing has changed; and when the clock alone may change that."""

    condition: Condition | None = None
    again_at: Instant | None = None


def look_at_departure(departure_facts: DepartureFacts, alert: Alert | None, now: Instant) -> DepartureLook:
    """Raise the alert once the tolerance of the rule `late` has passed after the planned departure.

    It ends with departure, cancellation or another schedule. A departure that turns out to have been in
    time withdraws it.
    """
    is_raised = alert is not None and alert.state is not AlertState.RESOLVED
    if departure_facts.departed_at is not None or departure_facts.ended_at is not None:
        ends_at = (
            departure_facts.departed_at
            if departure_facts.departed_at is not None
            else departure_facts.ended_at
        )
        return DepartureLook(
            _ended(alert, ends_at) if alert is not None and is_raised and ends_at is not None else None
        )
    late_from = _late_from(departure_facts)
    if late_from is None:
        return DepartureLook(_ended(alert, now) if alert is not None and is_raised else None)
    if now < late_from:
        return DepartureLook(_ended(alert, now) if alert is not None and is_raised else None, late_from)
    return DepartureLook(_condition(departure_facts, late_from))


def _late_from(departure_facts: DepartureFacts) -> Instant | None:
    """Return from when the departure is late; None if none is planned, or the rule `late` is off."""
    tuning = next(
        (rule.tuning for rule in tuned_rules(departure_facts.plan) if rule.kind is AlertKind.LATE), None
    )
    if departure_facts.planned is None or not isinstance(tuning, LateTuning):
        return None
    tolerance = round(tuning.tolerance_s * SECOND)
    lapsed = round(tolerance / departure_facts.plan.time_lapse)
    # Nobody could tell of it before it was planned here, and calls take their time however fast the journey is.
    return max(departure_facts.planned, departure_facts.known_from) + max(
        lapsed, min(tolerance, TO_TELL_OF_IT)
    )


def _ended(alert: Alert, at: Instant) -> Condition:
    is_raised = alert.condition
    return replace(is_raised, until=at) if at > is_raised.since else withdrawn(is_raised)


def _condition(departure_facts: DepartureFacts, since: Instant) -> Condition:
    assert departure_facts.planned is not None
    return Condition(
        subject=SUBJECT,
        kind=AlertKind.LATE,
        severity=KINDS[AlertKind.LATE].severity,
        device_id=None,
        message=(
            f"Was to depart {wording.instant(departure_facts.planned)} and has not: ask its origin whether it has left, and "
            "record the departure or change the schedule"
        ),
        since=since,
        details={
            "planned_departure": wording.instant_text(departure_facts.planned),
            "next_action": "Ask the origin whether it has left, and record the departure or change the schedule.",
        },
    )
