"""Plans, windows and traces that meet every limit and every length exactly, for the property tests."""

from dataclasses import asdict

from hypothesis import strategies as st

from alerts.excursions.plan import Plan, PlanRefused, make_plan
from alerts.model import SECOND, Instant, Sample, Window

DEPARTED = 1_790_000_000 * SECOND
MINUTE = 60 * SECOND


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan that people can write, in tenths, which floats do not hold exactly."""
    overrides = {
        "lower_c": st.integers(-50, 50).map(lambda tenths: tenths / 10) | st.none(),
        "upper_c": st.integers(-50, 100).map(lambda tenths: tenths / 10) | st.none(),
        "critical_low_c": st.integers(-150, 50).map(lambda tenths: tenths / 10) | st.none(),
        "critical_high_c": st.integers(-50, 220).map(lambda tenths: tenths / 10) | st.none(),
        "deadband_c": st.sampled_from([0, 0.1, 0.3, 0.5, 1, 3, 125]),
        "on_delay_s": st.sampled_from([0, 1, 60, 300, 3600]),
        "budget_s": st.sampled_from([None, 0, 60, 600, 3600]),
        "max_gap_s": st.sampled_from([1, 60, 600, 1800]),
    }
    band = draw(
        st.sampled_from(["custom", "custom", "cryogenic", "ultra_low", "controlled", "refrigerated", "room"])
    )
    plan = make_plan(band, draw(st.fixed_dictionaries({}, optional=overrides)))
    if isinstance(plan, PlanRefused):
        plan = make_plan(band if band != "custom" else "refrigerated", {})
    assert isinstance(plan, Plan)
    return plan


@st.composite
def traces(draw: st.DrawFn) -> tuple[Plan, Window, list[Sample], Instant]:
    """A plan, a window, readings with unique instants in time order, faults among them, and a now."""
    plan = draw(plans())
    edges = [
        c for c in (*asdict(plan.limits).values(), *plan.recovery_points()) if c is not None and abs(c) < 500
    ]
    celsius = st.one_of(
        st.sampled_from(edges).flatmap(
            lambda edge: st.sampled_from([edge, round(edge - 0.1, 2), round(edge + 0.1, 2)])
        ),
        st.sampled_from([-273.15, 150.0, -273.25, 150.25, 85.0, 84.9, -127.0, -126.9]),
        st.floats(-274, 151, allow_nan=False),
        st.none(),
    )
    # Steps that meet max_gap, on-delay and budget exactly are the ones that matter.
    step = st.sampled_from(
        [1, SECOND, 59 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, 60 * MINUTE]
    )
    start = DEPARTED + draw(st.sampled_from([-2 * MINUTE, 0, MINUTE]))
    instants, at = [], start
    for gap in draw(st.lists(step, max_size=25)):
        instants.append(at)
        at += gap
    samples = [Sample(at, draw(celsius)) for at in instants]
    span = st.sampled_from([*instants, at, at + MINUTE, at + 31 * MINUTE])
    delivered_at = draw(st.none() | span.filter(lambda at: at > DEPARTED))
    window = Window(departed_at=DEPARTED, delivered_at=delivered_at)
    return plan, window, samples, draw(span | st.just(DEPARTED - MINUTE))
