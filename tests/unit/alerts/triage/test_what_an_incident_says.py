"""What an incident says of its alerts: the cause, the worst of it, and what to do."""

from collections.abc import Mapping
from typing import Any

import pytest

from alerts.alert_kinds import KINDS
from alerts.model import AlertKind, Condition
from alerts.triage.alert import Alert, AlertState
from alerts.triage.incidents import HOLD_FOR_QUALITY, NOTHING_LEFT, Incident, group

K = AlertKind
OVER = AlertState.RESOLVED


def alert(
    kind: AlertKind, state: AlertState = AlertState.FIRING, details: Mapping[str, Any] | None = None
) -> Alert:
    condition = Condition(
        subject=str(kind),
        kind=kind,
        severity=KINDS[kind].severity,
        device_id="D1",
        message=str(kind),
        since=100,
        until=200 if state is OVER else None,
        details=details or {},
    )
    return Alert(id=str(kind), shipment_id="S1", condition=condition, state=state, raised_at=110)


def incident(*alerts: Alert) -> Incident:
    changes = group(alerts, [], organization=None, now=300, new_id=lambda: "I1")
    return changes[-1].incident


@pytest.mark.parametrize(
    ("kinds", "cause", "headline"),
    [
        ((K.EXCURSION_PREDICTED,), K.EXCURSION_PREDICTED, "excursion_predicted"),
        ((K.EXCURSION_PREDICTED, K.EXCURSION), K.EXCURSION, "excursion"),
        ((K.TILTED, K.EXCURSION_PREDICTED), K.TILTED, "tilted → excursion_predicted"),
        ((K.HOLD_TIME_SHORT, K.EXCURSION), K.HOLD_TIME_SHORT, "hold_time_short → excursion"),
    ],
)
def test_a_forecast_is_no_cause_of_what_is_then_measured(
    kinds: tuple[AlertKind, ...], cause: AlertKind, headline: str
) -> None:
    found = incident(*map(alert, kinds))
    assert (found.kind, found.headline) == (cause, headline)


def test_what_to_do_is_what_the_worst_finding_says_itself() -> None:
    knows_better = alert(K.LATE, details={"next_action": "Ask the origin whether it has left."})
    assert incident(knows_better).next_action == "Ask the origin whether it has left."
    assert incident(alert(K.LATE)).next_action == KINDS[K.LATE].next_action
    assert (
        "harge" not in KINDS[K.EXCURSION_PREDICTED].next_action
    )  # not everything that is cold holds nitrogen


def test_once_all_is_resolved_it_says_what_is_left_to_do() -> None:
    assert incident(alert(K.LATE, OVER)).next_action == NOTHING_LEFT
    assert incident(alert(K.TILTED, OVER), alert(K.EXCURSION, OVER)).next_action == HOLD_FOR_QUALITY
    assert incident(alert(K.TILTED), alert(K.EXCURSION, OVER)).next_action == KINDS[K.TILTED].next_action
