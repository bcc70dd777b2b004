"""What a judgement decides: when to look again, how a failure is reported, and that nothing is reported twice."""

from dataclasses import replace
from itertools import count

import numpy as np

from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.judgement import Device, DueShipment, Identity, Verdict, judge, set_aside
from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Window
from alerts.rules.facts import Facts
from alerts.triage.alert import Alert, AlertState
from alerts.triage.conditions import EVALUATION_FAILED

HOUR = 3600 * SECOND
plan = make_plan("cryogenic", {"max_gap_s": 1800, "on_delay_s": 300})
assert isinstance(plan, Plan)
PLAN = plan


def shipment(*samples: tuple[int, float | None], **changes: object) -> DueShipment:
    device = Device(device_id="D1", checkpoint=Checkpoint(), trace=Trace.of(samples))
    made = DueShipment(
        identity=Identity(shipment_id="S1", organization=None, drill=False, alerts={}),
        plan_revision=1,
        facts=Facts(plan=PLAN, window=Window(departed_at=0)),
        watched_from=0,
        devices=(device,),
    )
    return replace(made, **changes)


def judged(due: DueShipment, now: int) -> Verdict:
    numbers = count()
    return judge(due, now, lambda: f"id-{next(numbers)}")


def test_the_next_look_is_at_the_first_thing_that_changes_by_itself() -> None:
    assert judged(shipment((0, -190.0)), 60 * SECOND).evaluate_at == HOUR // 2  # silence
    warm = shipment((0, -140.0))
    assert judged(warm, 60 * SECOND).evaluate_at == 300 * SECOND  # the on-delay
    assert judged(warm, 300 * SECOND).evaluate_at == HOUR // 2  # silence, and one µs later the gap
    assert judged(warm, HOUR // 2).evaluate_at == HOUR // 2 + 1
    assert judged(warm, HOUR).evaluate_at is None
    over = replace(warm, facts=Facts(plan=PLAN, window=Window(departed_at=0, delivered_at=2 * HOUR)))
    assert judged(over, HOUR).evaluate_at == 2 * HOUR
    assert judged(over, 3 * HOUR).evaluate_at is None


def test_before_departure_there_is_nothing_to_judge() -> None:
    verdict = judged(shipment(facts=None, devices=()), HOUR)
    assert (verdict.devices, verdict.alerts, verdict.evaluate_at) == ((), (), None)


def test_the_newest_reading_says_how_long_its_logger_will_be_silent() -> None:
    due = shipment((0, -190.0))
    trace = replace(due.devices[0].trace, channels={Channel.FLIGHT_MODE_UNTIL: np.array([8.0 * HOUR])})
    device = replace(due.devices[0], trace=trace)
    verdict = judged(replace(due, devices=(device,)), HOUR)
    assert (verdict.evaluate_at, verdict.alerts) == (9 * HOUR, ())
    # A look without new readings keeps what it said.
    checkpoint = verdict.devices[0].checkpoint
    again = replace(due, devices=(Device(device_id="D1", checkpoint=checkpoint, trace=Trace.of([])),))
    assert judged(again, 2 * HOUR).evaluate_at == 9 * HOUR


def test_a_failure_is_told_once_and_ends_with_the_next_judgement() -> None:
    identity = shipment().identity
    [step] = set_aside(identity, "poison", 5, lambda: "A1").alerts
    assert (step.change.alert.state, step.change.alert.condition.subject) == (
        AlertState.FIRING,
        EVALUATION_FAILED,
    )
    on_record: dict[str, Alert] = {EVALUATION_FAILED: step.change.alert}
    identity = replace(identity, alerts=on_record)
    assert set_aside(identity, "poison again", 6, lambda: "A2").alerts == ()
    [step] = judged(shipment((0, -190.0), identity=identity), SECOND).alerts
    assert (step.change.alert.state, step.change.alert.condition.until) == (AlertState.RESOLVED, SECOND)
