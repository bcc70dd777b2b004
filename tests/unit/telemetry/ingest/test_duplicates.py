"""Duplicates and conflicts."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.ingest.duplicates import RESOLUTIONS, check_duplicates, find_conflict
from telemetry.model import Reading, RefusalReason

AT = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
SENT = Reading("LOG-1", AT, -178.25, seq=7, boot=2, battery_pct=81, extra={"firmware": "1.2", "serial": 5})
STORED = SENT._replace(battery_pct=81.0, extra='{"serial": 5, "firmware": "1.2"}')


def test_the_same_again_is_no_conflict():
    assert find_conflict(SENT, STORED) is None


@pytest.mark.parametrize(
    "fewer", [{"battery_pct": None}, {"seq": None, "boot": None}, {"extra": None}, {"extra": {"serial": 5}}]
)
def test_what_is_not_sent_this_time_is_no_difference(fewer):
    assert find_conflict(SENT._replace(**fewer), STORED) is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"temperature_c": -20}, "temperature_c is -20 but -178.25 is stored"),
        ({"probe_ok": False}, "probe_ok is false but true is stored"),
        ({"ambient_c": 20}, "ambient_c is 20 but nothing is stored"),
        (
            {"flight_mode_until": AT + timedelta(hours=1)},
            "flight_mode_until is 2026-11-21T04:45:00Z but nothing is stored",
        ),
        ({"extra": {"firmware": "1.3"}}, '"firmware" differs from what is stored'),
        ({"extra": {"colour": None}}, '"colour" differs from what is stored'),
    ],
)
def test_another_value_is_a_conflict_that_says_both(other, said):
    refusal = find_conflict(SENT._replace(**other), STORED)
    assert refusal is not None
    assert refusal.reason is RefusalReason.CONFLICT
    assert refusal.detail == f"at 2026-11-21T03:45:00Z, {said}: the reading stored first is kept"
    assert (refusal.device_id, refusal.boot) == ("LOG-1", 2)


def test_many_differences_are_cut_short():
    other = SENT._replace(temperature_c=1, tilt_deg=1, shock_g=1, lat=1, lon=1, ambient_c=1, battery_pct=1)
    refusal = find_conflict(other, STORED)
    assert refusal is not None
    assert refusal.detail.count("is stored") == 5
    assert "; and 2 more:" in refusal.detail


def test_numbers_are_compared_as_they_are_stored():
    assert find_conflict(SENT._replace(ambient_c=2**53 + 1), STORED._replace(ambient_c=float(2**53))) is None
    stored = STORED._replace(extra='{"a": 1' + "0" * 300 + ', "b": 1.0, "c": 18446744073709551617}')
    assert find_conflict(SENT._replace(extra={"a": 1e300, "b": 1, "c": 2**64 + 1}), stored) is None
    assert find_conflict(SENT._replace(extra={"c": 2**64}), stored) is not None


def test_the_first_of_a_message_wins_where_nothing_is_stored():
    other = SENT._replace(temperature_c=5.0)
    found = check_duplicates([SENT, SENT, other], [0, 1, 2], {})
    assert (found.accepted, found.duplicates) == (1, 1)
    assert [conflict.index for conflict in found.conflicts] == [2]


def test_what_is_stored_wins_over_the_first_of_a_message():
    other = SENT._replace(temperature_c=5.0)
    found = check_duplicates([other, SENT], [0, 1], {("LOG-1", AT): STORED})
    assert (found.accepted, found.duplicates) == (0, 1)
    assert [conflict.index for conflict in found.conflicts] == [0]


@pytest.mark.parametrize(
    ("by_one_way", "by_another"),
    [
        ({"temperature_c": -178.4}, {"temperature_c": float(np.float32(-178.4))}),
        ({"temperature_c": 4.0625}, {"temperature_c": 4.1}),  # as a sensor measures, and as a display shows
        ({"temperature_c": 4.04}, {"temperature_c": 4}),
        ({"lat": 50.037933, "lon": 8.562152}, {"lat": 50.0379, "lon": 8.5622}),
        ({"battery_pct": 80.6}, {"battery_pct": 81}),
        ({"extra": {"temperature_2_c": 4.1}}, {"extra": {"temperature_2_c": float(np.float32(4.1))}}),
    ],
)
def test_one_measurement_that_is_written_in_two_ways_is_the_same(by_one_way, by_another):
    one, other = SENT._replace(**by_one_way), SENT._replace(**by_another)
    assert find_conflict(one, other) is None
    assert find_conflict(other, one) is None


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ({"temperature_c": 4.1}, {"temperature_c": 4.2}),
        ({"lat": 50.0379, "lon": 8.5622}, {"lat": 50.0381, "lon": 8.5622}),
        ({"lid_open": True}, {"lid_open": False}),
        ({"extra": {"serial": 100_000_000}}, {"extra": {"serial": 100_000_001}}),
    ],
)
def test_what_is_further_apart_is_another_value(stored, sent):
    assert find_conflict(SENT._replace(**sent), SENT._replace(**stored)) is not None


def ways(value: float, resolution: float) -> list[float]:
    """A value as decimals, in single precision, and to the last digit that is shown."""
    step = 2 * resolution
    return [value, float(np.float32(value)), round(round(value / step) * step, 6)]


@given(st.data())
def test_however_a_measurement_is_written_and_in_which_order_it_comes_it_is_one_reading(data):
    values = {
        name: data.draw(st.floats(-90, 90) if name in {"lat", "lon"} else st.floats(0, 100))
        for name in data.draw(st.lists(st.sampled_from(sorted(RESOLUTIONS)), min_size=1, unique=True))
    }
    original = Reading("LOG-1", AT, **{"temperature_c": 4.0, **values})
    written = {
        name: data.draw(st.sampled_from(ways(value, RESOLUTIONS[name]))) for name, value in values.items()
    }
    numbers = data.draw(st.sampled_from([{}, {"seq": 7}, {"seq": 7, "boot": 2}]))
    one, two = original, original._replace(**written, **numbers)
    for first, second in ((one, two), (two, one)):
        known = {}
        found = check_duplicates([first, second], [0, 1], known)
        assert (found.accepted, found.duplicates, found.conflicts) == (1, 1, [])
        assert (known["LOG-1", AT].seq, known["LOG-1", AT].boot) == (two.seq, two.boot)
        assert known["LOG-1", AT].temperature_c == first.temperature_c


def test_numbers_are_no_part_of_the_value_and_a_later_copy_adds_them():
    typed_first = SENT._replace(seq=None, boot=None)
    known = {}
    found = check_duplicates([typed_first, SENT, SENT._replace(seq=8)], [0, 1, 2], known)
    assert (found.accepted, found.duplicates, found.conflicts) == (1, 2, [])
    assert found.numbered == [SENT]  # the first numbers stay
    assert check_duplicates([SENT], [0], {("LOG-1", AT): STORED}).numbered == []


def test_a_logger_may_be_registered_with_another_resolution():
    other = SENT._replace(temperature_c=-178.5, ambient_c=20.1)
    stored = STORED._replace(ambient_c=20.0)
    assert find_conflict(other, stored) is not None
    assert find_conflict(other, stored, 0.25) is None
    assert find_conflict(SENT._replace(temperature_c=-178.26), stored, 0.005) is not None
    found = check_duplicates([other], [0], {("LOG-1", AT): stored}, {"LOG-1": 0.25, "LOG-2": 1.0})
    assert found.duplicates == 1
