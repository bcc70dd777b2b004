"""Time lapse: a journey sixty times as fast as real is judged as the real one is."""

from dataclasses import replace

import numpy as np
import pytest

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Window
from alerts.rules.facts import Charge, Dewar, Facts
from alerts.rules.kinds.late import LATE
from alerts.rules.kinds.lid_open import LID_OPEN
from alerts.rules.kinds.tilted import TILTED
from alerts.rules.rule import Finding, Look, LookTime, Rule
from alerts.rules.time_lapse import (
    facts_in_journey_time,
    look_in_clock_time,
    look_time_in_journey_time,
    trace_in_journey_time,
)
from tests.unit.alerts.rules.routes import LEGS, at, facts, seen

DEPARTED, LAPSE = at("01 06:00"), 60


def fast(when: int) -> int:
    return DEPARTED + (when - DEPARTED) // LAPSE


def plan(**more: object) -> Plan:
    made = make_plan("cryogenic", {"max_gap_s": 1800 / LAPSE, "time_lapse": LAPSE, **more})
    assert isinstance(made, Plan)
    return made


def lapsed(real: Facts) -> Facts:
    """The same shipment, with all that is planned of it passing sixty times as fast."""
    legs = tuple(
        replace(
            leg,
            planned_departure=fast(leg.planned_departure or 0),
            planned_arrival=fast(leg.planned_arrival or 0),
        )
        for leg in LEGS
    )
    return replace(
        real,
        plan=plan(),
        legs=legs,
        planned_departure=fast(real.planned_departure or 0),
        planned_arrival=fast(real.planned_arrival or 0),
        use_by=fast(real.use_by or 0),
    )


def look(rule: Rule, of: Facts, trace: Trace, through: int) -> Look:  # type: ignore[type-arg]
    journey, tuning = facts_in_journey_time(of), rule.tuning()
    state = rule.fold(tuning, journey, rule.state(), trace_in_journey_time(of, trace))
    look_time = look_time_in_journey_time(of, LookTime(through=through, watched_from=DEPARTED))
    states = [state] if rule is LATE else state
    return look_in_clock_time(of, rule.look(tuning, journey, states, look_time))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rule", "channel", "value"), [(TILTED, Channel.TILT_DEG, 90.0), (LID_OPEN, Channel.LID_OPEN, 1.0)]
)
def test_what_lasts_for_twenty_minutes_of_the_journey_is_found(
    rule: Rule, channel: Channel, value: float
) -> None:  # type: ignore[type-arg]
    times = np.array([DEPARTED + minute * 60 * SECOND for minute in range(20)], np.int64)
    channels = {channel: np.full(len(times), value)}
    real = look(rule, facts(), Trace(times, np.full(len(times), -190.0), channels), int(times[-1])).found
    times = np.array([fast(int(when)) for when in times], np.int64)
    found = look(
        rule, lapsed(facts()), Trace(times, np.full(len(times), -190.0), channels), int(times[-1])
    ).found
    assert real is not None
    assert found == replace(real, since=fast(real.since))
    # In real time twenty seconds would be nothing.
    slow = replace(lapsed(facts()), plan=replace(plan(), time_lapse=1))
    assert look(rule, slow, Trace(times, np.full(len(times), -190.0), channels), int(times[-1])).found is None


def test_times_are_told_as_the_clock_shows_them() -> None:
    there = seen(("01 06:50", LEGS[0].end), ("01 12:30", LEGS[1].end))
    times = np.array([fast(int(when)) for when in there.at], np.int64)
    found = look(LATE, lapsed(facts()), Trace(times, there.celsius, there.channels), int(times[-1])).found
    assert found is not None
    # Half an hour after midnight of the third is 42.5 h on the way: 42.5 minutes on the clock. The delay is of the journey.
    assert found.message.startswith("Will arrive about 2026-12-01 06:42 UTC, 10 h 30 min late")
    assert found.since == fast(at("01 12:30"))


def test_all_that_is_planned_is_stretched_and_an_hour_stays_an_hour_in_real_time() -> None:
    dewar = Dewar(dewar_id="D", hold_time=4 * 3600 * SECOND, charges=(Charge(at=DEPARTED - 60 * SECOND),))
    of = replace(
        lapsed(facts()),
        dewar=dewar,
        window=Window(departed_at=DEPARTED, delivered_at=fast(at("02 14:00"))),
        interval={"L": 5 * SECOND},
    )
    journey = facts_in_journey_time(of)
    assert journey.dewar is not None
    assert journey.dewar.hold_time == 240 * 3600 * SECOND
    assert journey.dewar.charges[0].at == DEPARTED - 3600 * SECOND
    assert (journey.window.delivered_at, journey.planned_arrival) == (at("02 14:00"), at("02 14:00"))
    assert journey.interval == {"L": 300 * SECOND}
    assert journey.plan.max_gap == 1800 * SECOND
    real = facts()
    assert facts_in_journey_time(real) is real
    found = Look(found=Finding(severity=dewar and None, message="", since=at("01 07:00")))  # type: ignore[arg-type]
    assert look_in_clock_time(real, found) is found
