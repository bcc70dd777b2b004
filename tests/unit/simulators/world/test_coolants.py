"""The laws of the coolants against the published figures that simulators/world/coolants.py names."""

import numpy as np
import pytest

from simulators.world.coolants import ShipperFigures, stratified_c, sublimes_c, tilt_factor
from simulators.world.forcing import Forcing
from simulators.world.thermal_tracks import solve_tracks

HOUR, DAY = 3600.0, 86_400.0
DEWAR = {"capacity": 3.3, "charge": 3.3, "loss": 0.33, "warms_s": 12.4 * HOUR}
ICE = {"capacity": 12.0, "charge": 12.0, "loss": 2.4, "warms_s": 10 * HOUR}
BOX = {"capacity": 8.0, "charge": 5.0, "loss": 0.15, "warms_s": 24 * HOUR, "melts_c": 5.0}


def track(coolant, figures, start_c, begins_s=(0.0,), **acts):
    (solved,) = solve_tracks(
        coolant, ShipperFigures.of(**figures), [Forcing.still(begins_s, **acts)], np.array([start_c])
    )
    return solved


def dewar(begins_s=(0.0,), **acts):
    return track("nitrogen", DEWAR, -190.5, begins_s, **acts)


def test_nitrogen_falls_linearly_and_the_payload_stays_flat_until_it_is_gone():
    hours = np.arange(0, 240, 6) * HOUR
    states = dewar().at(hours)
    assert np.ptp(np.diff(states.level)) < 1e-6
    assert states.level[0] - states.level[4] == pytest.approx(0.33, rel=1e-3)
    assert np.ptp(states.payload_c) < 3
    assert dewar().used_up_s() == pytest.approx(10 * DAY, rel=1e-3)


def test_then_it_warms_by_15_to_20_degrees_an_hour_and_tends_to_the_room():
    dry = dewar()
    gone_s = dry.used_up_s()
    rates = np.diff(dry.at(gone_s + np.arange(4) * HOUR).payload_c)
    assert all((rates > 13) & (rates < 20))
    assert dry.at([gone_s + 30 * DAY]).payload_c[0] == pytest.approx(20, abs=0.01)


def test_moving_costs_hold_time():
    def holds(moving):
        return track("nitrogen", DEWAR | {"moving": 1.4}, -190, moving=moving).used_up_s()

    assert holds(moving=True) == pytest.approx(holds(moving=False) / 1.4, rel=1e-6)


def test_heat_shortens_the_hold_time_with_the_distance_from_77_k():
    assert dewar(ambient_c=40.0).used_up_s() == pytest.approx(10 * DAY * 215.8 / 235.8, rel=1e-6)


def test_six_hours_on_its_side_cost_60_percent():
    tipped = dewar((0, DAY, DAY + 6 * HOUR), tilt_deg=[0, 90, 0])
    lost = np.diff(-tipped.at([DAY, DAY + 6 * HOUR]).level)
    assert lost[0] / 3.3 == pytest.approx(0.6, abs=0.01)


def test_three_hours_upside_down_turn_days_into_hours():
    before = dewar((0, DAY))
    after_s = DAY + 2.6 * HOUR
    after = dewar((0, DAY, after_s), tilt_deg=[0, 180, 0])
    assert before.empty_s(DAY) - DAY == pytest.approx(9 * DAY, rel=1e-3)
    assert 0 < after.empty_s(after_s) - after_s < 24 * HOUR


def test_a_little_tilt_costs_nothing_and_more_costs_more():
    factors = tilt_factor(np.array([0, 20, 45, 90, 135, 180.0]), np.ones(6))
    assert list(factors[:2]) == [1, 1]
    assert all(np.diff(factors[1:]) > 0)
    assert all(tilt_factor(np.array([180.0]), np.zeros(1)) == 1)


def test_an_open_lid_lets_the_vapour_out_and_boils_more_off():
    lid = dewar((0, HOUR, 1.5 * HOUR), lid_open=[False, True, False])
    at = lid.at([HOUR, 1.5 * HOUR, 1.5 * HOUR + 20 * HOUR])
    assert at.payload_c[0] < -188
    assert -110 < at.payload_c[1] < -80
    assert at.payload_c[2] == pytest.approx(-190, abs=1)
    assert at.neck_c[1] > at.payload_c[1] + 20
    assert at.level[0] - at.level[1] == pytest.approx(8 * 0.33 / 48, rel=0.01)


def test_recharged_it_is_full_again_and_cold():
    filled = dewar((0, 11 * DAY, 11 * DAY + 900), recharging=[False, True, False])
    assert filled.at([11 * DAY]).level[0] == 0
    assert filled.at([11 * DAY]).payload_c[0] > -20
    assert filled.at([11 * DAY + 450]).level[0] == pytest.approx(1.65, rel=1e-3)
    assert filled.at([11 * DAY + 900]).level[0] == pytest.approx(3.3)
    assert filled.at([11 * DAY + 5 * HOUR]).payload_c[0] < -180


def test_the_neck_is_warmer_than_the_payload_as_in_a_tank():
    assert (stratified_c(0), stratified_c(1)) == (-195, -177)
    states = dewar().at([DAY])
    assert 10 < states.neck_c[0] - states.payload_c[0] < 16


def test_dry_ice_is_colder_in_the_cabin():
    assert sublimes_c(np.array(1013.25)) == pytest.approx(-78.46, abs=0.01)
    assert sublimes_c(np.array(752.6)) == pytest.approx(-82, abs=0.2)  # at 8000 ft
    assert sublimes_c(np.array(1000.0)) == pytest.approx(-78.6, abs=0.1)


def test_a_day_costs_a_fifth_of_the_ice_and_the_rest_lasts_five_days():
    ice = track("dry-ice", ICE, -78)
    assert 12 - ice.at([DAY]).level[0] == pytest.approx(2.4, rel=0.02)
    assert ice.used_up_s() == pytest.approx(5 * DAY, rel=0.02)
    assert np.ptp(ice.at(np.arange(0, 118, 2) * HOUR).payload_c) < 0.5
    assert ice.at([ice.used_up_s() + 2 * HOUR]).payload_c[0] > -65


def test_small_boxes_of_pellets_lose_2_percent_an_hour():
    ice = track(
        "dry-ice", {"capacity": 2.3, "charge": 2.3, "loss": 1.08, "warms_s": HOUR}, -78, pressure_hpa=752.6
    )
    assert (2.3 - ice.at([6 * HOUR]).level[0]) / 2.3 / 6 == pytest.approx(0.020, abs=0.003)


def test_on_its_side_and_under_forced_air_dry_ice_is_colder_still():
    assert -93.2 <= track("dry-ice", ICE, -78, tilt_deg=90.0).at([DAY]).payload_c[0] < -85
    assert -101 < track("dry-ice", ICE, -78, air=1.0).at([DAY]).payload_c[0] < -98


def test_a_box_stays_on_its_plateau_by_latent_heat_then_drifts():
    box = track("phase-change", BOX, 5, ambient_c=20.0)
    lasts_s = box.used_up_s()
    assert lasts_s == pytest.approx(5.0 / (0.15 * 15) * DAY, rel=1e-3)
    assert all(np.abs(box.at(np.arange(0, lasts_s, HOUR)).payload_c - 5) < 1)
    assert box.at([lasts_s + 24 * HOUR]).payload_c[0] == pytest.approx(20 - 14.1 / np.e, abs=0.1)


def test_a_cold_apron_freezes_it_and_it_falls_below():
    box = track("phase-change", BOX | {"charge": 7.5}, 5, (0, 12 * HOUR), ambient_c=[-20.0, 20.0])
    assert box.at([12 * HOUR]).level[0] == pytest.approx(8.0)
    assert box.at([12 * HOUR]).payload_c[0] < 2
    back = box.at([3 * DAY])
    assert back.payload_c[0] == pytest.approx(5.9, abs=0.1)
    assert back.level[0] < 8.0


def test_what_has_melted_freezes_again_in_the_cold():
    box = track("phase-change", BOX | {"charge": 0.01}, 5, (0, 10 * HOUR), ambient_c=[30.0, -5.0])
    assert box.at([10 * HOUR]).level[0] == 0
    assert box.at([10 * HOUR]).payload_c[0] > 10
    later = box.at([5 * DAY])
    assert later.level[0] > 0
    assert later.payload_c[0] == pytest.approx(4.4, abs=0.1)
