"""The rules about route and arrival: however a trace is cut into calls, the state is the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules.kinds.late import LATE
from alerts.rules.kinds.off_route import OFF_ROUTE
from alerts.rules.kinds.site_not_ready import SITE_NOT_READY
from alerts.rules.kinds.use_by_at_risk import USE_BY_AT_RISK
from alerts.rules.rule import Rule, dump, load
from tests.unit.alerts.rules.routes import CLINIC, FRA, JFK, MINUTE, NEW_YORK, ZRH, at, facts, trace

PLACES = [CLINIC, ZRH, FRA, JFK, NEW_YORK]
degrees = st.floats(-1, 1) | st.floats(-90, 90) | st.just(float("nan"))


@st.composite
def positions(draw: st.DrawFn) -> list[tuple[int, float, float]]:
    """Positions at, around and far from the stops, minutes or hours apart."""
    when, rows = at("01 05:00"), []
    for _ in range(draw(st.integers(0, 40))):
        when += draw(st.integers(1, 10) | st.integers(60, 600)) * MINUTE
        place = draw(st.sampled_from(PLACES))
        assert place.lat is not None
        assert place.lon is not None
        lat = max(-90.0, min(90.0, place.lat + draw(degrees)))
        rows.append((when, lat, place.lon + draw(degrees)))
    return rows


@pytest.mark.parametrize(
    "rule", [OFF_ROUTE, LATE, USE_BY_AT_RISK, SITE_NOT_READY], ids=lambda rule: rule.kind
)
@given(rows=positions(), cuts=st.lists(st.integers(0, 40), max_size=5), hdop=st.sampled_from([5.0, 5000.0]))
def test_cuts_do_not_matter(rule: Rule[Any, Any], rows: list, cuts: list[int], hdop: float) -> None:
    tuning, so_far = rule.tuning(), facts()
    whole = rule.fold(tuning, so_far, rule.state(), trace(rows, hdop))
    state = rule.state()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(rows)], strict=True):
        state = rule.fold(tuning, so_far, load(rule.state, dump(state)), trace(rows[start:end], hdop))
    assert state == whole
