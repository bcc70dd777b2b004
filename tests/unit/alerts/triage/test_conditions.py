"""What is found beside the rules: a judgement that failed, a budget that is used up."""

import numpy as np

from alerts.excursions.fold_trace import evaluate_trace
from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Trace
from alerts.model import SECOND, AlertKind, Severity, Window
from alerts.triage.conditions import budget_condition, failed_condition, rule_failed_condition


def test_a_failed_judgement_is_critical_and_says_why() -> None:
    found = failed_condition("ZeroDivisionError: poison", 5)
    assert (found.severity, found.device_id, found.since) == (Severity.CRITICAL, None, 5)
    assert found.message.endswith("ZeroDivisionError: poison")


def test_a_failed_rule_is_named_and_is_an_alert_of_its_own() -> None:
    found = rule_failed_condition(AlertKind.TILTED, "ZeroDivisionError: poison", 5)
    assert (found.subject, found.severity) == ("evaluation_failed:tilted", Severity.MAJOR)
    assert found.details == {"rule": "tilted"}
    assert "tilted" in found.message
    assert found.message.endswith("ZeroDivisionError: poison")


def test_a_budget_is_told_in_the_time_of_the_journey() -> None:
    plan = make_plan("cryogenic", {"budget_s": 2.0, "time_lapse": 3600.0, "on_delay_s": 0.0})
    assert isinstance(plan, Plan)
    at = np.arange(1, 6) * SECOND
    evaluation = evaluate_trace(
        plan, Window(departed_at=SECOND), Trace(at, np.full(5, -100.0), {}), 6 * SECOND
    )
    found = budget_condition(plan, "LOG-1", evaluation)
    assert found is not None
    assert found.message == "Stability budget of 2 h out of range used up"
