"""Whatever happens to a shipper: its mass, its bounds, and that it does not matter how a track is asked."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.world.coolants import NITROGEN_BOILS_C, ShipperFigures
from simulators.world.forcing import Forcing
from simulators.world.thermal_tracks import solve_tracks

HOUR = 3600.0
FIGURES = {
    "nitrogen": {"capacity": 3.3, "loss": 0.33, "warms_s": 12.4 * HOUR},
    "dry-ice": {"capacity": 12.0, "loss": 2.4, "warms_s": 10 * HOUR},
    "phase-change": {"capacity": 8.0, "loss": 0.015, "warms_s": 24 * HOUR, "melts_c": 5.0},
}
STARTS_C = {"nitrogen": -190.0, "dry-ice": -78.0, "phase-change": 5.0}


def units(coolant):
    return st.builds(
        lambda charge, leak, tilt_share: ShipperFigures.of(
            **FIGURES[coolant],
            charge=charge * FIGURES[coolant]["capacity"],
            leak=leak,
            tilt_share=tilt_share,
            moving=1.4,
        ),
        st.floats(0, 1),
        st.floats(0.7, 1.4),
        st.floats(0, 1),
    )


@st.composite
def forcings(draw, *, recharged=False):
    count = draw(st.integers(1, 12))

    def each(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    lengths = each(st.floats(1, 30 * HOUR, width=32))
    return Forcing.still(
        np.cumsum([0, *lengths[1:]]),
        ambient_c=each(st.floats(-30, 75, width=32)),
        tilt_deg=each(st.sampled_from([0, 0, 30, 90, 180])),
        pressure_hpa=each(st.sampled_from([1013.25, 752.6])),
        leak=each(st.sampled_from([1, 1, 3])),
        moving=each(st.booleans()),
        lid_open=each(st.booleans()),
        recharging=each(st.booleans() if recharged else st.just(value=False)),
    )


def instants(track):
    end_s = float(track.forcing.begins_s[-1]) + 20 * HOUR
    return np.linspace(0, end_s, 200)


@pytest.mark.parametrize("coolant", ["nitrogen", "dry-ice"])
@given(data=st.data())
def test_mass_never_rises_but_by_recharge_and_never_beyond_the_capacity(coolant, data):
    (track,) = solve_tracks(
        coolant,
        data.draw(units(coolant)),
        [data.draw(forcings(recharged=True))],
        np.array([STARTS_C[coolant]]),
    )
    states = track.at(instants(track))
    rises = np.diff(states.level) > 1e-5
    recharged = states.acts.recharging[:-1] | states.acts.recharging[1:]
    passed = np.searchsorted(track.forcing.begins_s, instants(track), side="right")
    between = np.array([track.forcing.recharging[a - 1 : b].any() for a, b in pairwise(passed)])
    assert not (rises & ~recharged & ~between).any()
    assert all((states.level >= 0) & (states.level <= FIGURES[coolant]["capacity"] * (1 + 1e-6)))


@pytest.mark.parametrize("coolant", list(FIGURES))
@given(data=st.data())
def test_temperatures_lie_between_nitrogen_and_the_surroundings(coolant, data):
    (track,) = solve_tracks(
        coolant, data.draw(units(coolant)), [data.draw(forcings())], np.array([STARTS_C[coolant]])
    )
    states = track.at(instants(track))
    warmest = max(track.forcing.ambient_c.max(), STARTS_C[coolant]) + 0.01
    assert all(states.payload_c <= warmest)
    assert all(states.payload_c >= NITROGEN_BOILS_C)
    assert all(np.isfinite(states.neck_c))


@pytest.mark.parametrize("coolant", list(FIGURES))
@given(data=st.data())
def test_alone_or_with_others_at_once_or_one_by_one_it_is_the_same_to_the_last_bit(coolant, data):
    many = data.draw(st.lists(st.tuples(units(coolant), forcings()), min_size=2, max_size=5))
    starts_c = np.full(len(many), STARTS_C[coolant])
    together = solve_tracks(
        coolant, ShipperFigures.joined([unit for unit, _ in many]), [acts for _, acts in many], starts_c
    )
    for (unit, acts), track in zip(many, together, strict=True):
        (alone,) = solve_tracks(coolant, unit, [acts], starts_c[:1])
        at_s = instants(track)
        states = track.at(at_s)
        assert alone.at(at_s).payload_c.tobytes() == states.payload_c.tobytes()
        assert alone.at(at_s).level.tobytes() == states.level.tobytes()
        for index in (0, 7, 100, 199):
            one = track.at([at_s[index]])
            assert (one.payload_c[0], one.neck_c[0], one.level[0]) == (
                states.payload_c[index],
                states.neck_c[index],
                states.level[index],
            )


@pytest.mark.parametrize("coolant", list(FIGURES))
@given(data=st.data())
def test_no_jumps(coolant, data):
    (track,) = solve_tracks(
        coolant, data.draw(units(coolant)), [data.draw(forcings())], np.array([STARTS_C[coolant]])
    )
    edges = track.forcing.begins_s[1:].astype(float)
    before, after = track.at(edges - 0.01), track.at(edges)
    assert np.allclose(before.payload_c, after.payload_c, atol=0.01)
    assert np.allclose(before.level, after.level, atol=0.001)


@given(data=st.data())
def test_the_first_instant_outside_is_found(data):
    (track,) = solve_tracks(
        "nitrogen", data.draw(units("nitrogen")), [data.draw(forcings())], np.array([-190.0])
    )
    end_s = instants(track)[-1]
    leaves_s = track.leaves_s(None, -150.0, 0.0, end_s)
    outside = track.at(instants(track)).payload_c > -150.0
    if leaves_s is None:
        assert not outside.any()
        return
    assert track.at([leaves_s]).payload_c[0] > -150.0
    assert not outside[instants(track) < leaves_s - 1e-5].any()
