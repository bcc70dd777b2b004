"""Pure: a planned departure that passed without the shipment departing, which the clock alone shows."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from alerts import wording
from alerts.excursions.plan import Plan
from alerts.kinds import KINDS
from alerts.model import SECOND, AlertKind, Condition, Instant
from alerts.rules.kinds.late import LateTuning
from alerts.rules.registry import tuned
from alerts.triage.alert import Alert, AlertState
from alerts.triage.conditions import withdrawn

SUBJECT: Final = f"{AlertKind.LATE}:departure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Departing:
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


def departure(departing: Departing, alert: Alert | None, now: Instant) -> DepartureLook:
    """Raise the alert once the tolerance of the rule `late` has passed after the planned departure.

    It ends with departure, cancellation or another schedule. A departure that turns out to have been in
    time withdraws it.
    """
    told = alert is not None and alert.state is not AlertState.RESOLVED
    if departing.departed_at is not None or departing.ended_at is not None:
        ends_at = departing.departed_at if departing.departed_at is not None else departing.ended_at
        return DepartureLook(
            _ended(alert, ends_at) if alert is not None and told and ends_at is not None else None
        )
    late_from = _late_from(departing)
    if late_from is None:
        return DepartureLook(_ended(alert, now) if alert is not None and told else None)
    if now < late_from:
        return DepartureLook(_ended(alert, now) if alert is not None and told else None, late_from)
    return DepartureLook(_condition(departing, late_from))


def _late_from(departing: Departing) -> Instant | None:
    """Return from when the departure is late; None if none is planned, or the rule `late` is off."""
    tuning = next((one.tuning for one in tuned(departing.plan) if one.kind is AlertKind.LATE), None)
    if departing.planned is None or not isinstance(tuning, LateTuning):
        return None
    tolerance = round(tuning.tolerance_s * SECOND / departing.plan.time_lapse)
    return max(departing.planned + tolerance, departing.known_from)


def _ended(alert: Alert, at: Instant) -> Condition:
    told = alert.condition
    return replace(told, until=at) if at > told.since else withdrawn(told)


def _condition(departing: Departing, since: Instant) -> Condition:
    assert departing.planned is not None
    return Condition(
        subject=SUBJECT,
        kind=AlertKind.LATE,
        severity=KINDS[AlertKind.LATE].severity,
        device_id=None,
        message=(
            f"Was to depart {wording.instant(departing.planned)} and has not: ask its origin whether it has left, and "
            "record the departure or change the schedule"
        ),
        since=since,
        details={"planned_departure": wording.instant_text(departing.planned)},
    )
