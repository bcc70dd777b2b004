"""How a condition that begins, changes and ends moves its alert."""

from dataclasses import replace

import pytest

from alerts.model import AlertKind, Condition, Severity
from alerts.triage.alert import Alert, AlertReason, AlertState, advance, raise_alert
from alerts.triage.conditions import withdrawn

HOLDS = Condition(
    subject="excursion:1",
    kind=AlertKind.EXCURSION,
    severity=Severity.MAJOR,
    device_id="D1",
    message="warm",
    since=10,
)
OVER = replace(HOLDS, until=20)
CRITICAL = replace(HOLDS, severity=Severity.CRITICAL)


def alert(state: AlertState, condition: Condition = HOLDS) -> Alert:
    taken = state is AlertState.ACKNOWLEDGED
    return Alert(
        id="A1",
        shipment_id="S1",
        condition=condition,
        state=state,
        raised_at=11,
        acknowledged_at=12 if taken else None,
        acknowledged_by="key" if taken else None,
        resolved_at=21 if state is AlertState.RESOLVED else None,
        owner="Kim" if state is not AlertState.FIRING else None,
        snoozed_until=200 if state is AlertState.SNOOZED else None,
    )


BY_HAND = HOLDS
"""The condition of a resolved alert that holds: a person resolved it."""
TILTED = replace(HOLDS, subject="tilted:D1", kind=AlertKind.TILTED)

F, A, R, S = AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.RESOLVED, AlertState.SNOOZED

CASES = [
    # state now, condition before, condition now -> (state, reason) of each step
    (F, HOLDS, HOLDS, []),  # nothing changed: nobody is told
    (A, HOLDS, HOLDS, []),
    (F, HOLDS, OVER, [(R, AlertReason.CONDITION_ENDED)]),
    (A, HOLDS, OVER, [(R, AlertReason.CONDITION_ENDED)]),
    (R, OVER, OVER, []),
    (F, HOLDS, withdrawn(HOLDS), [(R, AlertReason.CONDITION_WITHDRAWN)]),
    (R, OVER, HOLDS, [(F, AlertReason.CONDITION_CAME_BACK)]),  # late data: it never recovered
    (R, OVER, replace(OVER, until=15), [(R, AlertReason.DETAILS_CHANGED)]),  # late data: it was shorter
    # it came again and went before anybody looked: that is told, too
    (
        R,
        OVER,
        replace(OVER, since=30, until=40),
        [(F, AlertReason.CONDITION_CAME_BACK), (R, AlertReason.CONDITION_ENDED)],
    ),
    (A, HOLDS, CRITICAL, [(F, AlertReason.SEVERITY_ROSE)]),  # a new acknowledgement is needed
    (A, CRITICAL, HOLDS, [(A, AlertReason.DETAILS_CHANGED)]),
    (A, HOLDS, replace(HOLDS, message="warmer"), [(A, AlertReason.DETAILS_CHANGED)]),
    (S, HOLDS, HOLDS, []),
    (S, HOLDS, OVER, [(R, AlertReason.CONDITION_ENDED)]),
    (S, HOLDS, CRITICAL, [(F, AlertReason.SEVERITY_ROSE)]),  # nobody agreed to a critical one
    # a person resolved it while its condition held: it stays quiet
    (R, BY_HAND, HOLDS, []),
    (R, BY_HAND, replace(HOLDS, message="warmer"), [(R, AlertReason.DETAILS_CHANGED)]),
    (
        R,
        BY_HAND,
        replace(HOLDS, since=15),
        [(R, AlertReason.DETAILS_CHANGED)],
    ),  # the start of it was corrected
    (R, BY_HAND, OVER, [(R, AlertReason.CONDITION_ENDED)]),
    (R, BY_HAND, withdrawn(HOLDS), [(R, AlertReason.CONDITION_WITHDRAWN)]),
    (R, BY_HAND, CRITICAL, [(F, AlertReason.SEVERITY_ROSE)]),
    (R, TILTED, replace(TILTED, since=15), [(F, AlertReason.CONDITION_CAME_BACK)]),  # it ended and began anew
    (
        R,
        TILTED,
        replace(TILTED, since=15, until=18),
        [(F, AlertReason.CONDITION_CAME_BACK), (R, AlertReason.CONDITION_ENDED)],
    ),
]


@pytest.mark.parametrize(("state", "before", "now", "steps"), CASES)
def test_an_alert_follows_its_condition(state, before, now, steps):
    changes = advance(alert(state, before), now, 100)
    assert [(change.alert.state, change.reason) for change in changes] == steps
    assert [change.alert.revision for change in changes] == list(range(2, 2 + len(steps)))
    if changes:
        assert changes[-1].alert.condition == now
    for change in changes:
        assert change.alert.snoozed_until is None or change.alert.state is S


def test_firing_anew_forgets_who_had_taken_it():
    [change] = advance(alert(A), CRITICAL, 100)
    assert (change.alert.acknowledged_at, change.alert.acknowledged_by) == (None, None)


def test_an_acknowledgement_outlives_the_condition():
    [change] = advance(alert(A), OVER, 100)
    assert (change.alert.acknowledged_by, change.alert.resolved_at) == ("key", 100)


def test_a_condition_that_was_over_when_it_was_found_is_told_all_the_same():
    changes = raise_alert("A1", "S1", OVER, 100)
    assert [(c.alert.state, c.alert.revision) for c in changes] == [(F, 1), (R, 2)]
