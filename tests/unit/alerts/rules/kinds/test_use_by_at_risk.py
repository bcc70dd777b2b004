from dataclasses import replace

from alerts.model import Severity
from alerts.rules.blocks.arrival_rule import ArrivalState
from alerts.rules.kinds.use_by_at_risk import USE_BY_AT_RISK, UseByAtRiskTuning
from alerts.rules.rule import Look
from tests.unit.alerts.rules.routes import FRA, NEW_YORK, at, facts, look_time, seen, trace

TUNING = UseByAtRiskTuning()


def look(now: str, use_by: str | None, *where: tuple, **changes: object) -> Look:
    so_far = facts(use_by=None if use_by is None else at(use_by), **changes)
    state = USE_BY_AT_RISK.fold(TUNING, so_far, ArrivalState(), seen(*where) if where else trace(()))
    return USE_BY_AT_RISK.look(TUNING, so_far, [state], look_time(now))


def test_enough_time() -> None:
    # Tuesday the 1st; it arrives on Wednesday at 14:00 UTC, 09:00 in New York.
    assert look("01 09:00", "04 14:00").found is None


def test_too_little_time_is_told_from_departure_on() -> None:
    found = look("01 09:00", "03 10:00").found
    assert found is not None
    assert (found.severity, found.since) == (Severity.MAJOR, at("01 06:00"))
    assert "20 h left, 1 d needed" in found.message


def test_too_late_is_critical() -> None:
    found = look("01 12:30", "02 20:00", ("01 12:30", FRA)).found  # it misses its connection
    assert found is not None
    assert found.severity is Severity.CRITICAL
    # It comes at half past seven in the evening there, and the site opens at eight: 13:00 UTC.
    assert found.details["forecast_received"] == "2026-12-03T13:00:00Z"


def test_who_arrives_on_saturday_is_received_on_monday() -> None:
    so_far = facts(planned_arrival=at("05 14:00"), legs=(), use_by=at("07 12:00"))
    found = USE_BY_AT_RISK.look(TUNING, so_far, [ArrivalState()], look_time("01 09:00")).found
    assert found is not None
    assert found.severity is Severity.CRITICAL
    assert found.details["forecast_received"] == "2026-12-07T13:00:00Z"


def test_a_site_that_never_opens_is_told_too() -> None:
    assert NEW_YORK.hours is not None
    never = replace(NEW_YORK, hours=replace(NEW_YORK.hours, week={}))
    found = look("01 09:00", "20 10:00", destination=never).found
    assert found is not None
    assert "does not say when it can receive" in found.message


def test_without_a_use_by_there_is_no_risk() -> None:
    assert look("01 09:00", None) == Look()
