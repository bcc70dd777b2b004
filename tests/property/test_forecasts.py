"""However readings are cut into calls, forecasts have the same state: bins, estimates and reports."""

from functools import reduce

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Window
from alerts.rules.blocks.coolant_left import HoldTimeTuning
from alerts.rules.facts import Charge, Dewar, Facts
from alerts.rules.kinds import excursion_predicted, hold_time_short
from alerts.rules.kinds.excursion_predicted import EXCURSION_PREDICTED, ExcursionPredictedTuning
from alerts.rules.kinds.hold_time_short import HOLD_TIME_SHORT
from alerts.rules.rule import LookTime, dump, load

HOUR = 3600 * SECOND
T0 = 1_790_000_000 * SECOND
PLAN = make_plan("cryogenic", {})
assert isinstance(PLAN, Plan)
CHANNELS = {
    Channel.LN2_KG: st.floats(0, 4, allow_nan=False),
    Channel.TILT_DEG: st.sampled_from([0.0, 15.0, 45.0, 90.0, 180.0]),
    Channel.AMBIENT_C: st.floats(-40, 60, allow_nan=False),
    Channel.SHOCK_G: st.sampled_from([0.1, 0.5, 60.0]),
    Channel.LID_OPEN: st.sampled_from([0.0, 0.0, 1.0]),
}


@st.composite
def shipments(draw):
    """Facts, a trace that wanders and jumps, and where to cut it."""
    band, around = draw(st.sampled_from([("cryogenic", -190), ("ultra_low", -78), ("refrigerated", 5)]))
    plan = make_plan(band, {"budget_s": draw(st.sampled_from([None, 3600]))})
    assert isinstance(plan, Plan)
    steps = draw(st.lists(st.sampled_from([60, 299, 300, 600, 3600, 40_000]), min_size=2, max_size=60))
    at = T0 + np.cumsum(steps) * SECOND
    rise = draw(st.sampled_from([0.0, 0.02, 1.0, -0.3]))
    jumps = draw(
        st.lists(st.sampled_from([0.0, 0.1, -0.1, 45.0, np.nan, 999.0]), min_size=len(at), max_size=len(at))
    )
    celsius = around + rise * np.arange(len(at)) + np.array(jumps)
    channels = {
        name: np.array(draw(st.lists(values | st.just(np.nan), min_size=len(at), max_size=len(at))))
        for name, values in CHANNELS.items()
        if draw(st.booleans())
    }
    dewar = Dewar(
        dewar_id="D",
        hold_time=draw(st.sampled_from([24, 240])) * HOUR,
        ln2_capacity_kg=draw(st.sampled_from([None, 3.3])),
        charges=tuple(Charge(at=T0 + hours * HOUR) for hours in draw(st.sampled_from([(), (-5,), (-5, 7)]))),
    )
    delivered = draw(st.none() | st.just(int(at[-1]) - HOUR))
    facts = Facts(
        plan=plan,
        window=Window(departed_at=T0, delivered_at=None if delivered is None else max(delivered, T0)),
        dewar=dewar,
        planned_arrival=T0 + draw(st.sampled_from([1, 20, 300])) * HOUR,
    )
    cuts = sorted(draw(st.sets(st.integers(1, len(at) - 1))))
    return facts, Trace(at, celsius, channels), cuts


RULES = ((HOLD_TIME_SHORT, HoldTimeTuning()), (EXCURSION_PREDICTED, ExcursionPredictedTuning()))


@given(shipments())
@settings(deadline=None)
def test_the_cuts_do_not_matter_and_a_look_changes_nothing(shipment):
    facts, trace, cuts = shipment
    parts = [trace[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(trace)], strict=True)]
    for rule, tuning in RULES:
        whole = rule.fold(tuning, facts, rule.state(), trace)

        def step(state, part, rule=rule, tuning=tuning):
            after = rule.fold(tuning, facts, state, part)
            look_time = LookTime(through=int(part.at[-1]), watched_from=T0)
            rule.look(tuning, facts, [after] if rule is HOLD_TIME_SHORT else after, look_time)
            return load(rule.state, orjson.loads(orjson.dumps(dump(after))))  # as it is stored

        assert reduce(step, parts, rule.state()) == whole


@given(shipments(), st.integers(0, 400))
@settings(deadline=None)
def test_what_is_found_begins_before_it_is_told_and_ends_after_it_began(shipment, hours):
    facts, trace, _ = shipment
    for rule, tuning in RULES:
        state = rule.fold(tuning, facts, rule.state(), trace)
        through = int(trace.at[-1]) + hours * HOUR
        seen = rule.look(
            tuning,
            facts,
            [state] if rule is HOLD_TIME_SHORT else state,
            LookTime(through=through, watched_from=T0),
        )
        assert seen.again_at is None or seen.again_at > through
        if seen.found is not None:
            assert seen.found.since <= through
            assert seen.found.until is None or seen.found.since <= seen.found.until <= through
            assert orjson.dumps(dict(seen.found.details))


@st.composite
def courses(draw):
    """Many hours at a reading a minute: steady, warming, waving, wandering or in whole degrees; and a dewar on its way."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(200, 480))
    minutes = np.arange(count)
    curve = {
        "steady": lambda: np.zeros(count),
        "warms": lambda: minutes * chance.uniform(0, 0.15),
        "waves": lambda: 8 * np.sin(minutes / chance.uniform(20, 200)),
        "wanders": lambda: np.cumsum(chance.normal(0, 0.3, count)),
        "coarse": lambda: np.round(chance.normal(0, 1, count)),
    }[draw(st.sampled_from(["steady", "warms", "waves", "wanders", "coarse"]))]()
    celsius = np.round(-185 + curve + chance.normal(0, 0.2, count), 2)
    channels = {Channel.AMBIENT_C: np.round(20 + chance.normal(0, 1, count), 1)}
    if draw(st.booleans()):
        channels[Channel.LN2_KG] = 3.3 - minutes * draw(st.sampled_from([0.0001, 0.002]))
    if draw(st.booleans()):
        channels[Channel.TILT_DEG] = np.repeat(chance.choice([0.0, 80.0, 150.0], 8), count // 8 + 1)[:count]
    dewar = Dewar(dewar_id="D", hold_time=draw(st.integers(10, 400)) * HOUR, ln2_capacity_kg=3.3)
    facts = Facts(
        plan=PLAN,
        window=Window(departed_at=T0),
        dewar=dewar,
        planned_arrival=T0 + draw(st.integers(5, 100)) * HOUR,
    )
    return facts, Trace(T0 + 60 * SECOND * minutes, celsius, channels)


@pytest.mark.parametrize(("rule", "tuning"), RULES)
@given(courses())
@settings(deadline=None, max_examples=30)
def test_what_is_spared_changes_nothing(rule, tuning, shipment):
    """Many bins at once are first told apart in columns, and how long it lasts is found where it matters: or always."""
    facts, trace = shipment
    found = rule.fold(tuning, facts, rule.state(), trace)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(excursion_predicted, "_COLUMNS_FROM", 10_000)
        patched.setattr(hold_time_short, "_surely_enough", lambda *_: False)
        assert rule.fold(tuning, facts, rule.state(), trace) == found
