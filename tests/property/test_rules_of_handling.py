"""However a trace is cut into calls of fold, the state is the same; NaN changes nothing; states can be stored."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import EMPTY, Channel, Trace
from alerts.model import SECOND, Window
from alerts.rules.facts import Facts
from alerts.rules.kinds.clock_skew import CLOCK_SKEW
from alerts.rules.kinds.lid_open import LID_OPEN
from alerts.rules.kinds.logger_memory_gap import LOGGER_MEMORY_GAP
from alerts.rules.kinds.low_battery import LOW_BATTERY
from alerts.rules.kinds.probe_fault import PROBE_FAULT
from alerts.rules.kinds.shock import SHOCK
from alerts.rules.kinds.tilted import TILTED
from alerts.rules.rule import DeviceRule, LookTime, dump, load

RULES: list[DeviceRule[Any, Any]] = [
    TILTED,
    SHOCK,
    LID_OPEN,
    LOW_BATTERY,
    CLOCK_SKEW,
    LOGGER_MEMORY_GAP,
    PROBE_FAULT,
]
START = 20_000 * 86_400 * SECOND
BANDS = ("cryogenic", "ultra_low", "refrigerated", "room")
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)


def facts(band: str) -> Facts:
    plan = make_plan(band, {})
    assert isinstance(plan, Plan)
    return Facts(plan=plan, window=Window(departed_at=START), planned_arrival=START + 4 * 86_400 * SECOND)


@st.composite
def troubled(draw: st.DrawFn) -> Trace:
    """Return readings with stretches of every trouble there is, and gaps, drawn by a seed."""
    random, count = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.integers(1, 250))
    at = START - 600 * SECOND + np.cumsum(random.choice([30, 60, 60, 60, 300, 900, 5000], count)) * SECOND

    def stretches(choices: list[float], length: int) -> np.ndarray:
        return random.choice(choices, count // length + 1).repeat(length)[:count].astype(float)

    def holed(values: Any, share: float = 0.1) -> np.ndarray:
        return np.where(random.random(count) < share, np.nan, np.asarray(values, float))

    noise = np.round(random.normal(0, 0.12, (3, count)), 1)
    ambient, kind = 20 + stretches([0, 6], 20) + noise[0], stretches([0, 1, 2, 3, 4, 5, 6], 20)
    celsius = stretches([-190, -190, 5], 100) + noise[1]
    celsius = np.where(kind == 1, -190.0, np.where(kind == 2, ambient, celsius))
    celsius += np.where((kind == 3) & (random.random(count) < 0.2), 40.0, 0.0) + np.where(
        kind == 6, 12.0, 0.0
    )
    celsius = np.where(
        kind == 4, -242.02, np.where((kind == 5) & (random.random(count) < 0.7), np.nan, celsius)
    )
    late = stretches([1, -180, -70, 3600, 3650, 0], 12) * SECOND
    channels = {
        Channel.AMBIENT_C: holed(ambient),
        Channel.SECOND_C: holed(stretches([-178, -178, -200, np.nan], 25) + noise[2]),
        Channel.TILT_DEG: holed(stretches([0, 30, 40, 50, 90, 170], 3)),
        Channel.SHOCK_G: holed(random.choice([0, 1, 9, 30], count, p=[0.9, 0.05, 0.03, 0.02])),
        Channel.LID_OPEN: holed(stretches([0, 1], 4)),
        Channel.BATTERY_PCT: holed(np.round(60 - np.arange(count) * random.choice([0.01, 0.2])) % 100),
        Channel.SEQ: holed(1000 + np.cumsum(random.choice([1, 1, 1, 1, 2, 5, -3, 0], count))),
        Channel.BOOT: holed(np.cumsum(random.random(count) < 0.03), 0.02),
        Channel.RECEIVED_AT: holed(at + late),
    }
    return Trace(at, celsius, channels)


def folded(rule: DeviceRule[Any, Any], about: Facts, parts: list[Trace]) -> Any:
    state = rule.state()
    for part in parts:
        state = rule.fold(rule.tuning(), about, state, part)
    return state


@each
@given(troubled(), st.sampled_from(BANDS), st.data())
@settings(deadline=None, max_examples=60)
def test_cut_anywhere_the_state_is_the_same(rule, trace, band, data):
    about = facts(band)
    whole = folded(rule, about, [trace])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(trace)), max_size=8)))
    parts = [trace[first:last] for first, last in zip([0, *cuts], [*cuts, len(trace)], strict=True)]
    assert folded(rule, about, parts) == whole
    assert folded(rule, about, [trace[n : n + 1] for n in range(len(trace))]) == whole


@each
@given(troubled(), st.sampled_from(BANDS))
@settings(deadline=None, max_examples=30)
def test_a_stored_state_is_the_same_and_looking_leaves_it(rule, trace, band):
    about = facts(band)
    state = folded(rule, about, [trace])
    stored = orjson.loads(orjson.dumps(dump(state)))
    again = load(rule.state, stored)
    assert again == state
    look_time = LookTime(through=int(trace.at[-1]), watched_from=START)
    assert rule.look(rule.tuning(), about, state, look_time) == rule.look(
        rule.tuning(), about, again, look_time
    )
    assert dump(state) == dump(again)


@each
@given(troubled(), st.sampled_from(BANDS))
@settings(deadline=None, max_examples=30)
def test_what_says_nothing_changes_nothing(rule, trace, band):
    about = facts(band)
    state = folded(rule, about, [trace])
    assert rule.fold(rule.tuning(), about, state, EMPTY) == state
    assert rule.fold(rule.tuning(), about, state, trace[:0]) == state
    if rule is not PROBE_FAULT:  # to which no number is what it is about
        later = trace.at + (int(trace.at[-1]) - int(trace.at[0]) + SECOND)
        unknown = {name: np.full(len(trace), np.nan) for name in trace.channels}
        assert rule.fold(rule.tuning(), about, state, Trace(later, trace.celsius, unknown)) == state
        assert rule.fold(rule.tuning(), about, state, Trace(later, trace.celsius)) == state
