"""A late departure: when it is reported, what ends it, and what it leaves alone."""

from dataclasses import replace

import pytest

from alerts.evaluation.judging.departure import SUBJECT, DepartureFacts, look_at_departure
from alerts.excursions.plan import Plan, make_plan
from alerts.model import SECOND, AlertKind
from alerts.triage.alert import Alert, AlertState, Severity

HOUR = 3600 * SECOND
PLANNED = 1000 * HOUR


def plan(**given: object) -> Plan:
    made = make_plan("cryogenic", given)
    assert isinstance(made, Plan)
    return made


WAITS = DepartureFacts(plan=plan(), planned=PLANNED, known_from=0)


def on_record(state: AlertState = AlertState.FIRING) -> Alert:
    condition = look_at_departure(WAITS, None, PLANNED + 3 * HOUR).condition
    assert condition is not None
    return Alert(id="A", shipment_id="S", condition=condition, state=state, raised_at=PLANNED + 2 * HOUR)


def test_it_is_told_by_the_clock_once_the_tolerance_has_passed() -> None:
    assert look_at_departure(WAITS, None, PLANNED + 2 * HOUR - 1) == (None, PLANNED + 2 * HOUR)
    condition, again_at = look_at_departure(WAITS, None, PLANNED + 2 * HOUR)
    assert condition is not None
    assert (condition.subject, condition.kind, condition.severity) == (
        SUBJECT,
        AlertKind.LATE,
        Severity.MAJOR,
    )
    assert (condition.since, condition.until, again_at) == (PLANNED + 2 * HOUR, None, None)
    assert condition.message.startswith("Was to depart 1970-02-11 16:00 UTC and has not")
    assert condition == on_record().condition  # whenever somebody looks


@pytest.mark.parametrize(
    ("changes", "since"),
    [
        ({"plan": plan(rules={"late": {"tolerance_s": 60}})}, PLANNED + 60 * SECOND),
        ({"plan": plan(time_lapse=60)}, PLANNED + HOUR // 30),
        ({"plan": plan(time_lapse=3600)}, PLANNED + 60 * SECOND),  # calls take their time all the same
        ({"plan": plan(time_lapse=3600, rules={"late": {"tolerance_s": 5}})}, PLANNED + 5 * SECOND),
        ({"known_from": PLANNED + 7 * HOUR}, PLANNED + 9 * HOUR),  # nobody could tell of it before
        ({"plan": plan(rules={"late": {"enabled": False}})}, None),
        ({"planned": None}, None),
    ],
)
def test_what_it_depends_on(changes: dict[str, object], since: int | None) -> None:
    condition, again_at = look_at_departure(replace(WAITS, **changes), None, PLANNED)
    assert (condition, again_at) == (None, since)
    later = look_at_departure(replace(WAITS, **changes), None, PLANNED + 10 * HOUR).condition
    assert (None if later is None else later.since) == since


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"departed_at": PLANNED + 5 * HOUR}, PLANNED + 5 * HOUR),
        ({"ended_at": PLANNED + 6 * HOUR}, PLANNED + 6 * HOUR),
        ({"planned": PLANNED + 24 * HOUR}, PLANNED + 7 * HOUR),
        ({"planned": None}, PLANNED + 7 * HOUR),
    ],
)
def test_it_ends_with_departure_cancellation_or_another_schedule(
    changes: dict[str, object], until: int
) -> None:
    changed, now = replace(WAITS, **changes), PLANNED + 7 * HOUR
    condition = look_at_departure(changed, on_record(), now).condition
    assert condition is not None
    assert (condition.since, condition.until, condition.withdrawn) == (PLANNED + 2 * HOUR, until, False)
    assert look_at_departure(changed, on_record(AlertState.RESOLVED), now).condition is None
    assert look_at_departure(changed, None, now).condition is None


def test_a_departure_in_time_that_was_recorded_late_withdraws_it() -> None:
    departed = replace(WAITS, departed_at=PLANNED + HOUR)
    condition = look_at_departure(departed, on_record(), PLANNED + 7 * HOUR).condition
    assert condition is not None
    assert condition.withdrawn
