"""The fleet's alert: when it begins, what it says, that it does not change with every look, and when it ends."""

from dataclasses import replace

import pytest

from alerts.evaluation.judging.outage import SUBJECT, FleetSilence, OutageThresholds, fleet_condition
from alerts.model import SECOND, Condition, Severity
from alerts.triage.alert import Alert, AlertState

NOW = 10_000 * SECOND
SILENT = FleetSilence(live=5000, silent=4812, shipments=4790, newest=NOW - 900 * SECOND)


def condition(hearing: FleetSilence, alert: Alert | None = None) -> Condition | None:
    return fleet_condition(hearing, alert, NOW)


def on_record(state: AlertState = AlertState.FIRING) -> Alert:
    found = condition(SILENT)
    assert found is not None
    if state is AlertState.RESOLVED:
        found = replace(found, until=NOW)
    return Alert(id="A1", shipment_id=None, condition=found, state=state, raised_at=NOW)


@pytest.mark.parametrize(
    ("hearing", "begins"),
    [
        (SILENT, True),
        (replace(SILENT, silent=2500), True),
        (replace(SILENT, silent=2499), False),  # less than half of it
        (FleetSilence(live=20, silent=20, shipments=20, newest=NOW), True),
        (
            FleetSilence(live=19, silent=19, shipments=19, newest=NOW),
            False,
        ),  # few enough to be told one by one
        (FleetSilence(live=0, silent=0, shipments=0, newest=None), False),
    ],
)
def test_it_begins_where_many_and_most_are_silent(hearing: FleetSilence, begins: bool) -> None:
    assert (condition(hearing) is not None) == begins
    assert (condition(hearing, on_record(AlertState.RESOLVED)) is not None) == begins


def test_one_that_a_person_resolved_is_followed_until_readings_flow_again() -> None:
    quiet = replace(on_record(), state=AlertState.RESOLVED, resolved_at=NOW)
    assert condition(SILENT, quiet) is None
    over = condition(replace(SILENT, silent=1000), quiet)
    assert over is not None
    assert over.until == NOW


def test_it_says_how_many_since_when() -> None:
    found = condition(SILENT)
    assert found is not None
    assert (found.subject, found.severity, found.device_id) == (SUBJECT, Severity.CRITICAL, None)
    assert found.since == SILENT.newest
    assert found.message.startswith(
        "No readings from 4812 of 5000 loggers, on 4790 shipments, since 1970-01-01 02:31 UTC"
    )
    assert found.details["shipments"] == 4790


def test_it_is_told_anew_only_where_it_has_grown_by_a_fifth() -> None:
    assert condition(replace(SILENT, shipments=4900), on_record()) is None
    grown = condition(replace(SILENT, shipments=6000, newest=NOW), on_record())
    assert grown is not None
    assert (grown.since, grown.until, grown.details["shipments"]) == (SILENT.newest, None, 6000)


def test_it_ends_once_most_are_heard_again() -> None:
    assert condition(replace(SILENT, silent=1250), on_record(AlertState.ACKNOWLEDGED)) is None
    ended = condition(replace(SILENT, silent=1249), on_record(AlertState.ACKNOWLEDGED))
    assert ended is not None
    assert (ended.since, ended.until) == (SILENT.newest, NOW)


def test_what_an_outage_is_can_be_set() -> None:
    few = FleetSilence(live=10, silent=5, shipments=5, newest=NOW)
    small = OutageThresholds(least_loggers=3, share=0.4, ends_below=0.3, grace_s=60)
    assert condition(few) is None
    begun = fleet_condition(few, None, NOW, small)
    assert begun is not None
    assert begun.details["held_back_after_s"] == 60
    assert fleet_condition(replace(few, silent=3), replace(on_record(), condition=begun), NOW, small) is None
    ended = fleet_condition(replace(few, silent=2), replace(on_record(), condition=begun), NOW, small)
    assert ended is not None
    assert ended.until == NOW
    assert fleet_condition(replace(few, silent=3), None, NOW, replace(small, share=0.31)) is None
