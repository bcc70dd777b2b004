"""What is found beside the rules: a judgement that failed."""

from alerts.alert import AlertKind
from alerts.conditions import failed_condition, rule_failed_condition
from alerts.model import Severity


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
