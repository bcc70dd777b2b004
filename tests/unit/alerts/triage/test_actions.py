"""What people's steps and time make of an alert in each of its states."""

from dataclasses import replace
from functools import partial

import pytest

from alerts.evaluation.judging.judgement import Identity, set_aside
from alerts.model import SECOND, AlertKind, Condition, Severity
from alerts.triage.actions import (
    ACKNOWLEDGED_FOR,
    CLOCK_AHEAD,
    LONGEST_SNOOZE,
    SNOOZE_TIMER,
    ActionRefused,
    acknowledge,
    assign,
    next_instant,
    pass_on,
    pass_time,
    resolve,
    snooze,
)
from alerts.triage.alert import Alert, AlertReason, AlertState, advance
from alerts.triage.conditions import EVALUATION_FAILED, failed_condition
from alerts.triage.payloads import alert_event
from telemetry.actor import Actor, ActorKind

NOW = 1_000_000 * SECOND
KIM = Actor(ActorKind.KEY, "kim")
LEE = Actor(ActorKind.KEY, "lee")
HOLDS = Condition(
    subject="tilted:D1",
    kind=AlertKind.TILTED,
    severity=Severity.MAJOR,
    device_id="D1",
    message="tilted",
    since=NOW - 100,
)
FIRING = Alert(
    id="A1", shipment_id="S1", condition=HOLDS, state=AlertState.FIRING, raised_at=NOW - 90, revision=3
)
TAKEN = replace(
    FIRING,
    state=AlertState.ACKNOWLEDGED,
    acknowledged_at=NOW - 50,
    acknowledged_by=LEE,
    owner=str(LEE),
)
ASLEEP = replace(
    FIRING,
    state=AlertState.SNOOZED,
    snoozed_until=NOW + 9,
    snoozed_by=LEE,
    snooze_reason="it has to be so",
    owner="Lee",
)
UNSEEN = replace(
    FIRING, state=AlertState.RESOLVED, resolved_at=NOW - 10, condition=replace(HOLDS, until=NOW - 20)
)
later = partial(snooze, until=NOW + 5)
F, A, S, R = AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.SNOOZED, AlertState.RESOLVED

CASES = [
    # alert, action -> state, owner, reason, event; None: nothing changes
    (FIRING, acknowledge, (A, str(KIM), AlertReason.ACKNOWLEDGED, "alert.acknowledged")),
    (replace(FIRING, owner="Lee"), acknowledge, (A, "Lee", AlertReason.ACKNOWLEDGED, "alert.acknowledged")),
    (TAKEN, acknowledge, None),
    (ASLEEP, acknowledge, (A, "Lee", AlertReason.ACKNOWLEDGED, "alert.acknowledged")),
    (UNSEEN, acknowledge, (R, None, AlertReason.ACKNOWLEDGED, "alert.acknowledged")),
    (FIRING, partial(assign, owner="Mia"), (F, "Mia", AlertReason.ASSIGNED, "alert.assigned")),
    (TAKEN, partial(assign, owner="Mia"), (A, "Mia", AlertReason.ASSIGNED, "alert.assigned")),
    (TAKEN, partial(assign, owner=str(LEE)), None),
    (TAKEN, partial(assign, owner=None), (F, None, AlertReason.UNASSIGNED, "alert.firing")),
    (ASLEEP, partial(assign, owner=None), (S, None, AlertReason.UNASSIGNED, "alert.assigned")),
    (FIRING, partial(assign, owner=None), None),
    (FIRING, later, (S, None, AlertReason.SNOOZED, "alert.snoozed")),
    (TAKEN, later, (S, str(LEE), AlertReason.SNOOZED, "alert.snoozed")),
    (ASLEEP, later, (S, "Lee", AlertReason.SNOOZED, "alert.snoozed")),
    (replace(ASLEEP, snoozed_until=NOW + 5, snoozed_by=KIM, snooze_reason="because it is"), later, None),
    (ASLEEP, partial(snooze, until=None), (F, "Lee", AlertReason.SNOOZE_ENDED, "alert.firing")),
    (FIRING, partial(snooze, until=None), None),
    (FIRING, resolve, (R, None, AlertReason.RESOLVED_BY_HAND, "alert.resolved")),
    (ASLEEP, resolve, (R, "Lee", AlertReason.RESOLVED_BY_HAND, "alert.resolved")),
]


@pytest.mark.parametrize(("alert", "action", "expected"), CASES)
def test_an_action(alert, action, expected):
    changes = action(alert, NOW, actor=KIM, reason="because it is")
    if expected is None:
        assert changes == []
        return
    [change] = changes
    after = change.alert
    event = alert_event(alert, change)
    assert (after.state, after.owner, change.reason, event[0]) == expected
    assert (change.actor, change.note, after.last_action_at, after.revision) == (KIM, "because it is", NOW, 4)
    assert (after.snoozed_until is not None) == (after.state is S)
    assert after.state is not A or after.owner is not None


@pytest.mark.parametrize(
    "action", [partial(assign, owner="Mia"), later, partial(snooze, until=None), resolve]
)
def test_a_resolved_alert_is_only_acknowledged(action):
    refused = action(UNSEEN, NOW, actor=KIM, reason="because it is")
    assert isinstance(refused, ActionRefused)
    assert refused.field is None


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (partial(snooze, until=NOW), "until"),
        (partial(snooze, until=NOW + LONGEST_SNOOZE + 1), "until"),
    ],
)
def test_a_snooze_ends_within_three_days(action, field):
    assert action(FIRING, NOW, actor=KIM, reason="because it is").field == field
    [change] = snooze(FIRING, NOW, actor=KIM, reason="because it is", until=NOW + LONGEST_SNOOZE)
    assert change.alert.snoozed_until == NOW + LONGEST_SNOOZE


@pytest.mark.parametrize("action", [later, resolve])
def test_who_quiets_an_alert_says_why(action):
    assert action(FIRING, NOW, actor=KIM, reason=None).field == "reason"


def test_time_ends_a_snooze_and_nothing_sooner():
    assert pass_time(ASLEEP, NOW + 8, ACKNOWLEDGED_FOR) == []
    assert next_instant(ASLEEP, ACKNOWLEDGED_FOR) == NOW + 9
    [change] = pass_time(ASLEEP, NOW + 9, ACKNOWLEDGED_FOR)
    assert (change.alert.state, change.alert.owner, change.actor) == (F, "Lee", SNOOZE_TIMER)


def test_an_acknowledgement_expires_after_the_last_action():
    lasts = ACKNOWLEDGED_FOR[Severity.MAJOR]
    busy = replace(TAKEN, last_action_at=NOW)
    assert next_instant(TAKEN, ACKNOWLEDGED_FOR) == NOW - 50 + lasts
    assert next_instant(busy, ACKNOWLEDGED_FOR) == NOW + lasts
    assert pass_time(busy, NOW + lasts - 1, ACKNOWLEDGED_FOR) == []
    [change] = pass_time(busy, NOW + lasts, ACKNOWLEDGED_FOR)
    assert (change.alert.state, change.alert.owner) == (F, None)
    assert change.reason is AlertReason.ACKNOWLEDGEMENT_EXPIRED
    assert pass_time(busy, NOW + lasts, {}) == []  # a policy may have none


@pytest.mark.parametrize("quiet", [ASLEEP, TAKEN])
def test_what_would_last_longer_than_anything_may_has_ended(quiet):
    """A clock set it that was ahead. Small corrections of the clock end nothing."""
    longest = LONGEST_SNOOZE if quiet is ASLEEP else ACKNOWLEDGED_FOR[Severity.MAJOR]
    until = next_instant(replace(quiet, snoozed_until=NOW + LONGEST_SNOOZE), ACKNOWLEDGED_FOR)
    began = until - longest
    there = replace(quiet, snoozed_until=until)
    assert pass_time(there, began - CLOCK_AHEAD, ACKNOWLEDGED_FOR) == []
    [change] = pass_time(there, began - CLOCK_AHEAD - 1, ACKNOWLEDGED_FOR)
    assert change.alert.state is F


def test_a_failure_that_a_person_resolved_is_told_again_only_after_it_passed():
    failing = Alert(
        id="A1",
        shipment_id="S1",
        condition=failed_condition("boom", NOW),
        state=R,
        raised_at=NOW,
        resolved_at=NOW,
        acknowledged_at=NOW,
    )

    def aside(alert):
        identity = Identity(
            shipment_id="S1", organization=None, drill=False, alerts={EVALUATION_FAILED: alert}
        )
        return set_aside(identity, "boom", NOW + 50, lambda: "A2").alerts

    assert aside(failing) == ()
    [passed] = advance(failing, replace(failing.condition, until=NOW + 10), NOW + 10)
    assert [step.change.alert.state for step in aside(passed.alert)] == [F]


@pytest.mark.parametrize(
    ("alert", "state", "owner"),
    [
        (FIRING, F, "Main"),
        (replace(FIRING, owner="Rhein"), F, "Main"),
        (replace(FIRING, owner="Kim"), F, "Kim"),
        (TAKEN, A, str(LEE)),
        (replace(TAKEN, owner="Rhein"), F, "Main"),
        (ASLEEP, S, "Lee"),
        (replace(ASLEEP, owner="Rhein"), S, "Main"),
        (UNSEEN, R, None),
    ],
)
def test_a_handover_passes_on_what_is_nobodys_or_the_former_holders(
    alert: Alert, state: AlertState, owner: str | None
) -> None:
    pass_to_main = partial(pass_on, owner="Main", is_former=lambda name: name == "Rhein")
    changes = pass_to_main(alert, NOW, actor=KIM, reason="because it is")
    after = changes[-1].alert if changes else alert
    assert (after.state, after.owner) == (state, owner)
    assert [(one.reason, one.actor, one.note) for one in changes] == [
        (AlertReason.ASSIGNED, KIM, "because it is")
    ] * (owner != alert.owner)
    assert pass_to_main(after, NOW + 1, actor=KIM, reason="because it is") == []


def test_acknowledging_takes_an_alert_from_nobody() -> None:
    """Whoever names an owner is told that there is another, and not that all is as it was asked for."""
    for alert in (replace(FIRING, owner="Lee"), TAKEN):
        refused = acknowledge(alert, NOW, actor=KIM, reason=None, owner="Jo Day")
        assert isinstance(refused, ActionRefused)
        assert refused.why.endswith(
            "has this alert: leave owner out to acknowledge it, or assign it to Jo Day."
        )
        assert alert.owner is not None
        assert not isinstance(
            acknowledge(alert, NOW, actor=KIM, reason=None, owner=f" {alert.owner.upper()}"), ActionRefused
        )
    assert not isinstance(acknowledge(UNSEEN, NOW, actor=KIM, reason=None, owner="Jo Day"), ActionRefused)
