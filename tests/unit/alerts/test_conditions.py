"""What the rules find: silence by the clock above all, whose end only an alert on record can tell."""

from dataclasses import replace

import pytest

from alerts.alert import Alert, AlertKind, AlertState, Condition
from alerts.conditions import LONGEST_SILENCE, failed_condition, heard_until, signal_condition
from alerts.model import SECOND, Severity
from alerts.plan import Plan, make_plan
from alerts.state import State

plan = make_plan("cryogenic", {"max_gap_s": 600})
assert isinstance(plan, Plan)
PLAN, GAP, DEPARTED = plan, 600 * SECOND, 1_000_000 * SECOND
SEEN = DEPARTED + 60 * SECOND
SILENT_FROM = SEEN + GAP


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(), DEPARTED + GAP),  # nothing yet: watched from the departure on
        (State(seen=SEEN), SEEN + GAP),
        (State(seen=SEEN, quiet_until=SEEN + 5 * GAP), SEEN + 5 * GAP),  # announced
        (State(seen=SEEN, quiet_until=SEEN + 1), SEEN + GAP),  # an announcement never shortens
        (State(seen=SEEN, quiet_until=SEEN + 2 * LONGEST_SILENCE), SEEN + LONGEST_SILENCE),
    ],
)
def test_until_when_a_logger_is_not_missed(state: State, expected: int) -> None:
    assert heard_until(PLAN, state, DEPARTED) == expected


def look(state: State, through: int, alert: Alert | None = None, over: int | None = None) -> Condition | None:
    return signal_condition(PLAN, "D1", state, watched_from=DEPARTED, through=through, over=over, alert=alert)


def firing(state: AlertState = AlertState.FIRING) -> Alert:
    condition = look(State(seen=SEEN), SILENT_FROM)
    assert condition is not None
    return Alert(id="A1", shipment_id="S1", condition=condition, state=state, raised_at=SILENT_FROM)


def test_silence_begins_at_its_instant_and_not_before() -> None:
    assert look(State(seen=SEEN), SILENT_FROM - 1) is None
    found = look(State(seen=SEEN), SILENT_FROM)
    assert found is not None
    assert (found.kind, found.severity, found.since) == (AlertKind.SIGNAL_LOST, Severity.MAJOR, SILENT_FROM)
    assert found.message == "No reading since 1970-01-12 13:47 UTC"
    never = look(State(), DEPARTED + GAP)
    assert never is not None
    assert never.message == "No reading since departure"


def test_silence_ends_with_the_next_reading() -> None:
    heard = look(State(seen=SILENT_FROM + 7), SILENT_FROM + 8, firing())
    assert heard == replace(firing().condition, until=SILENT_FROM + 7)


def test_silence_that_late_data_denies_was_none() -> None:
    heard = look(State(seen=SILENT_FROM - 1), SILENT_FROM + 8, firing())
    assert heard == replace(firing().condition, withdrawn=True)


def test_silence_ends_with_the_shipment() -> None:
    over = SILENT_FROM + 9
    assert look(State(seen=SEEN), over, firing(), over=over) == replace(firing().condition, until=over)
    # Delivered before it was silent, and told later: it ended when it began.
    early = SILENT_FROM - 5
    assert look(State(seen=SEEN), early, firing(), over=early) == replace(
        firing().condition, until=SILENT_FROM
    )


def test_a_gap_that_is_over_raises_nothing() -> None:
    assert look(State(seen=SILENT_FROM + 7), SILENT_FROM + 8) is None
    assert look(State(seen=SILENT_FROM + 7), SILENT_FROM + 8, firing(AlertState.RESOLVED)) is None


def test_a_failed_judgement_is_critical_and_says_why() -> None:
    found = failed_condition("ZeroDivisionError: poison", 5)
    assert (found.severity, found.device_id, found.since) == (Severity.CRITICAL, None, 5)
    assert found.message.endswith("ZeroDivisionError: poison")
