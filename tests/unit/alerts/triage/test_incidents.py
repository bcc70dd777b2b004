"""What comes back soon after it had ended opens its incident again, also a closed one."""

from dataclasses import replace
from itertools import count

import pytest

from alerts.model import SECOND, AlertKind, Condition, Severity
from alerts.triage.alert import Alert, AlertState
from alerts.triage.incidents import Incident, IncidentReason, IncidentState, goes_on_and_off, group, homes

MINUTE = 60 * SECOND
START = 1_795_000_000 * SECOND


def alert(number: int, begins: float, ends: float | None, **changes: object) -> Alert:
    """An excursion of one logger, by minutes."""
    condition = Condition(
        subject=f"excursion:{number}",
        kind=AlertKind.EXCURSION,
        severity=Severity.MAJOR,
        device_id="D1",
        message=f"Payload above 8 °C, peak 8.{number} °C",
        since=START + round(begins * MINUTE),
        until=None if ends is None else START + round(ends * MINUTE),
    )
    state = AlertState.FIRING if ends is None else AlertState.RESOLVED
    condition = replace(condition, **changes)  # type: ignore[arg-type]
    return Alert(
        id=f"A{number}", shipment_id="S1", condition=condition, state=state, raised_at=condition.since
    )


def closed_of(*alerts: Alert) -> Incident:
    (change, *_, last) = group(alerts, [], organization=None, now=START, new_id=lambda: "I0")
    assert change.reason is IncidentReason.ALERT_RAISED
    assert last.incident.state is IncidentState.CLOSED
    return last.incident


@pytest.mark.parametrize(
    ("again", "is_same"),
    [
        (alert(1, 5, None), True),
        (alert(1, 32, None), True),  # half an hour after the end, to the instant
        (alert(1, 32.1, None), False),
        (alert(1, 5, None, device_id="D2"), False),
        (alert(1, 5, None, kind=AlertKind.BUDGET_EXHAUSTED), False),
        (alert(1, 5, 6, withdrawn=True), False),
        (alert(1, -20, -1), True),  # found late: this one came first
    ],
)
def test_by_when_it_was_the_same_comes_back(again: Alert, is_same: bool) -> None:
    first = alert(0, 0, 2)
    assert goes_on_and_off(first, again) is goes_on_and_off(again, first) is is_same
    known = closed_of(first)
    changes = group([first, again], [known], organization=None, now=START, new_id=lambda: "I1")
    assert homes(changes).get("A1") == ("I0" if is_same else "I1")


def test_a_closed_incident_opens_again_and_says_how_often_it_goes_on() -> None:
    known, alerts, numbers = [], [], count()
    for number in range(4):
        begins = 10.0 * number
        alerts.append(alert(number, begins, None))
        for now, state in ((alerts[-1], "open"), (alert(number, begins, begins + 2), "closed")):
            alerts[-1] = now
            changes = group(alerts, known, organization=None, now=START, new_id=lambda: f"I{next(numbers)}")
            known = [changes[-1].incident]
            assert (known[0].id, known[0].state) == ("I0", state)
            assert known[0].headline.endswith(f"(on and off, {number + 1} times)") == (number > 0)


def test_what_is_open_comes_first_and_closed_ones_are_never_merged() -> None:
    first, second = alert(0, 0, 2), alert(1, 40, 42)
    tilted = alert(2, 43, None, kind=AlertKind.TILTED)
    known = [closed_of(first), replace(closed_of(second), id="I2"), replace(closed_of(second), id="I3")]
    known[1] = replace(known[1], alert_ids=("A1",))
    known[2] = replace(known[2], alert_ids=("A2",), state=IncidentState.OPEN, closed_at=None)
    again = alert(3, 45, None)
    changes = group([first, second, tilted, again], known, organization=None, now=START, new_id=lambda: "new")
    assert homes(changes)["A3"] == "I3", "the tilt may have led to it"
    changes = group([first, second, again], known[:2], organization=None, now=START, new_id=lambda: "new")
    assert homes(changes)["A3"] == "I2"
    assert all(change.incident.merged_into is None for change in changes)
