"""Which events tell of a change of an excursion."""

from dataclasses import replace

import pytest

from alerts.model import (
    Change,
    ChangeKind,
    EndedBy,
    Excursion,
    ExcursionState,
    Reason,
    Run,
    Severity,
    Side,
)
from alerts.triage.payloads import excursion_events, peak_event

RUN = Run(
    side=Side.HIGH, start=1, end=None, ended_by=None, peak_c=9.0, severity=Severity.MAJOR, has_gap=False
)
OPEN = Excursion(id="X", opened_at=2, revision=1, state=ExcursionState.OPEN, run=RUN)
CRITICAL = replace(OPEN, revision=2, run=replace(RUN, peak_c=30.0, severity=Severity.CRITICAL))


def closed(one: Excursion) -> Excursion:
    return replace(one, state=ExcursionState.CLOSED, run=replace(one.run, end=9, ended_by=EndedBy.RECOVERY))


@pytest.mark.parametrize(
    ("before", "after", "types"),
    [
        (None, OPEN, ["opened"]),
        (None, CRITICAL, ["opened"]),  # it has no turn
        (None, closed(CRITICAL), ["opened"]),  # over when found: the state says so
        (OPEN, CRITICAL, ["became_critical"]),
        (OPEN, closed(CRITICAL), ["became_critical", "closed"]),
        (closed(OPEN), closed(CRITICAL), ["became_critical"]),  # by late readings
        (OPEN, closed(OPEN), ["closed"]),
        (CRITICAL, OPEN, ["amended"]),  # not critical after all
        (closed(OPEN), OPEN, ["amended"]),
        (OPEN, replace(CRITICAL, state=ExcursionState.WITHDRAWN), ["withdrawn"]),
        (CRITICAL, replace(CRITICAL, state=ExcursionState.SUPERSEDED), ["withdrawn"]),
    ],
)
def test_each_change_has_its_events(before: Excursion | None, after: Excursion, types: list[str]) -> None:
    change = Change(kind=ChangeKind.AMENDED, reason=Reason.LATE_DATA, before=before, after=after)
    events = excursion_events(change, shipment_id="S1", device_id="D1", incident_id="I")
    assert [type_ for type_, _ in events] == [f"excursion.{name}" for name in types]
    assert all((data["state"], data["peak_c"]) == (after.state, after.run.peak_c) for _, data in events)


def test_a_peak_that_is_told_later_looks_like_one_that_is_told_at_once() -> None:
    change = Change(kind=ChangeKind.WORSENED, reason=Reason.PEAK_MOVED, before=OPEN, after=OPEN)
    told = {"shipment_id": "acme/S1", "device_id": "D1", "incident_id": None}
    assert [peak_event(OPEN, **told)] == excursion_events(change, **told)
