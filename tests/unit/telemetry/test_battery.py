"""When a battery is low, and that the rule agrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import Window
from alerts.rules.facts import Facts
from alerts.rules.kinds.low_battery import LOW_BATTERY, LowBatteryState, LowBatteryTuning
from telemetry.battery import LOW_PCT, is_low

plan = make_plan("cryogenic", {})
assert isinstance(plan, Plan)
FACTS = Facts(plan=plan, window=Window(departed_at=0))


@pytest.mark.parametrize(
    ("pct", "at_level", "expected"),
    [
        (None, True, False),
        (LOW_PCT + 0.1, True, False),
        (LOW_PCT, True, True),
        (LOW_PCT, False, False),
        (LOW_PCT - 0.1, False, True),
        (0.0, False, True),
    ],
)
def test_from_which_level_on_a_battery_is_low(pct: float | None, at_level: bool, expected: bool) -> None:
    assert is_low(pct, at_level=at_level) is expected


@given(
    st.floats(0, 100) | st.sampled_from([0.0, 8.0, 20.0, 25.0, 95.0]), st.sampled_from([0.0, 8.0, 20.0, 95.0])
)
def test_the_rule_finds_low_what_is_low_at_the_level_or_below(pct: float, low_pct: float) -> None:
    tuning = LowBatteryTuning(low_pct=low_pct, critical_pct=0.0)
    trace = Trace(np.array([1]), np.array([-190.0]), {Channel.BATTERY_PCT: np.array([pct])})
    state = LOW_BATTERY.fold(tuning, FACTS, LowBatteryState(), trace)
    assert (state.low.since is not None) is is_low(pct, low_pct, at_level=True)
