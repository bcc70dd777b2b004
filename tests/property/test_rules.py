"""All rules: cut anywhere, stored and read back, resumed from any safe point, their folds agree."""

import re
from dataclasses import replace

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.evaluation.judging.checkpoint import Checkpoint, FoldedForward, fold_forward
from alerts.evaluation.judging.look import WatchedLogger, look_by_rules
from alerts.excursions import fold_trace
from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Window
from alerts.rules.facts import Charge, Dewar, Facts, Leg
from alerts.rules.place import Place
from alerts.rules.registry import CHANNELS, tuned_rules
from alerts.rules.rule import LookTime

HOUR, DEPARTED = 3600 * SECOND, 1_764_000_000 * SECOND
plan = make_plan("cryogenic", {})
assert isinstance(plan, Plan)
FRA, JFK = Place(name="FRA", lat=50.03, lon=8.57), Place(name="JFK", lat=40.64, lon=-73.78)
FACTS = Facts(
    plan=plan,
    window=Window(departed_at=DEPARTED),
    dewar=Dewar(
        dewar_id="W1",
        hold_time=200 * HOUR,
        ln2_capacity_kg=12,
        charges=(
            Charge(at=DEPARTED - 5 * HOUR),
            Charge(at=DEPARTED + 3 * HOUR, ln2_kg=1),
            Charge(at=DEPARTED + 30 * HOUR),
        ),
    ),
    origin=FRA,
    destination=JFK,
    legs=(Leg(start=FRA, end=JFK, planned_departure=DEPARTED, planned_arrival=DEPARTED + 30 * HOUR),),
    planned_departure=DEPARTED,
    planned_arrival=DEPARTED + 30 * HOUR,
    packed_out_at=DEPARTED - 4 * HOUR,
    use_by=DEPARTED + 40 * HOUR,
    interval={"D1": 300 * SECOND},
)
LEVELS = {
    Channel.SECOND_C: (-190.0, -170.0, -140.0, 900.0),
    Channel.AMBIENT_C: (-20.0, 21.0, 45.0),
    Channel.BATTERY_PCT: (100.0, 40.0, 19.0, 9.0, 0.0),
    Channel.TILT_DEG: (0.0, 29.0, 46.0, 120.0),
    Channel.SHOCK_G: (0.1, 4.0, 12.0, 40.0),
    Channel.LID_OPEN: (0.0, 1.0),
    Channel.LN2_KG: (12.0, 6.0, 1.0, 0.0),
    Channel.LAT: (50.03, 48.0, 40.64, -33.0),
    Channel.LON: (8.57, -20.0, -73.78, 151.0),
    Channel.ACCURACY_M: (5.0, 500.0, 50_000.0),
    Channel.BOOT: (1.0, 2.0),
}


@st.composite
def tracks(draw: st.DrawFn) -> Trace:
    """Readings whose channels stay at a level for a while, are not there for a while, and go on to another level."""
    steps = draw(st.lists(st.sampled_from([1, 300, 300, 300, 1800, 7200, 40_000]), min_size=1, max_size=50))
    at = DEPARTED + np.cumsum(np.array(steps, np.int64)) * SECOND
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    celsius = chance.choice([-190.0, -188.0, -149.0, -120.0, np.nan], len(at), p=[0.6, 0.2, 0.1, 0.05, 0.05])
    channels = {}
    for name in draw(st.sets(st.sampled_from(sorted(LEVELS)))):
        length = int(chance.integers(1, 12))
        values = np.repeat(chance.choice(LEVELS[name], len(at) // length + 1), length)[: len(at)]
        gaps = np.repeat(chance.random(len(at) // length + 1) < 0.2, length)[: len(at)]
        channels[name] = np.where(gaps, np.nan, values)
    channels[Channel.RECEIVED_AT] = at + chance.choice([1.0, 90.0, 40_000.0], len(at)) * SECOND
    channels[Channel.SEQ] = np.cumsum(chance.choice([1.0, 1.0, 1.0, 7.0], len(at)))
    flights = np.where(chance.random(len(at)) < 0.1, at + 9.0 * HOUR, np.nan)
    channels[Channel.FLIGHT_MODE_UNTIL] = flights
    carried = {name: values for name, values in channels.items() if not np.isnan(values).all()}
    return Trace(at, celsius, {name: values for name, values in carried.items() if name in CHANNELS})


def part(trace: Trace, first: int, last: int) -> Trace:
    """Readings as they would be loaded: without channels that none of them carries."""
    cut = trace[first:last]
    return Trace(cut.at, cut.celsius, {n: v for n, v in cut.channels.items() if not np.isnan(v).all()})


def forward(checkpoint: Checkpoint, trace: Trace) -> FoldedForward:
    found = fold_forward(FACTS, tuned_rules(FACTS.plan), checkpoint, trace, 0)
    assert found.errors == {}
    return found


def stored(checkpoint: Checkpoint) -> Checkpoint:
    """It goes through the database, where numbers may lose nothing."""
    read = Checkpoint.from_json(orjson.loads(orjson.dumps(checkpoint.to_json())))
    assert read == checkpoint
    return read


WRITTEN_TIME = re.compile(r"\d{4}-\d\d-\d\d.*")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


@given(tracks(), st.sampled_from([0, 1, 12, 60]))
@settings(deadline=None)
def test_times_in_details_are_written_as_everywhere_in_the_api(trace: Trace, later_h: int) -> None:
    checkpoint = forward(Checkpoint(), trace).checkpoint
    look_time = LookTime(through=int(trace.at[-1]) + later_h * HOUR, watched_from=DEPARTED)
    loggers = [WatchedLogger(checkpoint=checkpoint, look_time=replace(look_time, device_id="D1"))]
    found = look_by_rules(FACTS, tuned_rules(FACTS.plan), loggers, look_time, {})
    assert found.errors == {}
    for condition in found.conditions:
        for value in condition.details.values():
            for one in value if isinstance(value, list) else [value]:
                written = isinstance(one, str) and WRITTEN_TIME.fullmatch(one)
                assert not written or RFC_3339.fullmatch(one), (condition.kind, condition.details)


@given(tracks())
@settings(deadline=None)
def test_what_a_reading_leaves_as_it_is_is_stored_as_it_was(trace: Trace) -> None:
    before = stored(forward(Checkpoint(), trace).checkpoint)
    assert before.to_json() == replace(before, texts={}).to_json()
    silent = Trace(trace.at[-1:] + SECOND, np.array([-190.0]))
    after = forward(before, silent).checkpoint
    assert after.to_json() == replace(after, texts={}).to_json()


@given(tracks(), st.data())
@settings(deadline=None)
def test_wherever_a_trace_is_cut_the_standing_is_the_same(trace: Trace, data: st.DataObject) -> None:
    whole = forward(Checkpoint(), trace).checkpoint
    assert whole.rules.keys() == {one.kind for one in tuned_rules(FACTS.plan)}
    cuts = sorted(data.draw(st.sets(st.integers(0, len(trace)), max_size=5)))
    checkpoint, first = Checkpoint(), 0
    for last in [*cuts, len(trace)]:
        checkpoint, first = stored(forward(checkpoint, part(trace, first, last)).checkpoint), last
    assert checkpoint.rules == whole.rules


@given(tracks())
@settings(deadline=None)
def test_from_every_safe_point_one_comes_to_the_same_standing(trace: Trace) -> None:
    before = fold_trace.SAFE_POINT_EVERY, fold_trace.COLUMNS_FROM
    fold_trace.SAFE_POINT_EVERY, fold_trace.COLUMNS_FROM = 7, 1
    try:
        found = forward(Checkpoint(), trace)
        assert len(found.safe_points) == len(trace) // 7
        for number, point in enumerate(found.safe_points, 1):
            rest = part(trace, 7 * number, len(trace))
            assert forward(stored(point), rest).checkpoint.rules == found.checkpoint.rules
    finally:
        fold_trace.SAFE_POINT_EVERY, fold_trace.COLUMNS_FROM = before
