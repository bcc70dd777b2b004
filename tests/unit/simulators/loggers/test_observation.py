"""Each fault does what it says, and a reading computed alone equals its row."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.loggers.faults import FAULT_KINDS, SHORT_CIRCUIT_C, LoggerFault
from simulators.loggers.instrument import Instrument, draw_instrument
from simulators.loggers.memory import overwritten
from simulators.loggers.models import MODELS
from simulators.loggers.observation import TrueTemperatures, observe, with_stuck_values
from simulators.loggers.quartz_clock import TURNOVER_C

DAY = 86_400
TICKS = np.arange(600)
EXACT = Instrument(
    key=7,
    model=replace(MODELS["cryo-2"], noise_c=0, memory=100),
    on_s=1000,
    interval_s=60,
)
FROM, UNTIL = 100, 200  # ticks, the second one not included


def truth_at(ticks, at_c=-190.0):
    ticks = np.asarray(ticks)
    return TrueTemperatures(
        payload_c=at_c + ticks / 100.0,
        ambient_c=np.full(len(ticks), 20.0),
        second_c=at_c + 15 + ticks / 100.0,
    )


def chill(at_s, logger_c):
    """The integral of (T - 25 °C)² over time, by the trapezoid rule."""
    squared = (logger_c - TURNOVER_C) ** 2
    steps = (squared[1:] + squared[:-1]) / 2 * np.diff(at_s)
    return np.concatenate((np.zeros(1), np.cumsum(steps)))


def fault(kind, **how):
    return LoggerFault(kind=kind, from_s=1000 + 60 * FROM, until_s=1000 + 60 * UNTIL, **how)


def seen(*faults, instrument=EXACT, ticks=TICKS):
    broken = with_stuck_values(replace(instrument, faults=faults), truth_at)
    return observe(broken, ticks, truth_at(ticks))


SOUND = seen()
ACTS = (TICKS >= FROM) & (TICKS < UNTIL)


def differing(name, columns):
    """The rows of a column that are not as with a sound logger."""
    a, b = (getattr(each, name).astype(float) for each in (columns, SOUND))
    return ~np.isclose(a, b, rtol=0, atol=0, equal_nan=True)


def only(columns, *names):
    """That nothing but these columns differs, and these only where the fault acts."""
    for each in fields(columns):
        differs = differing(each.name, columns)
        if each.name in names:
            assert differs.any(), each.name
            assert not (differs & ~ACTS).any(), each.name
        else:
            assert not differs.any(), each.name


def test_a_sound_logger_says_the_truth_in_its_steps():
    assert np.abs(SOUND.temperature_c - (-190 + TICKS / 100)).max() < 0.0501
    assert SOUND.seq.tolist() == TICKS.tolist()
    assert SOUND.measured_s.tolist() == (1000 + 60 * TICKS).tolist()
    assert SOUND.taken.all()
    assert SOUND.probe_ok.all()
    assert not (SOUND.lost | SOUND.silent).any()
    assert SOUND.sent(0) == {
        "seq": 0,
        "temperature_c": -190.0,
        "temperature_2_c": -175.0,
        "ambient_c": SOUND.ambient_c[0],
        "battery_pct": 100.0,
    }


def test_quantized_readings_are_written_short():
    assert all(len(str(value).split(".")[1]) == 1 for value in SOUND.temperature_c.tolist())


def test_an_open_probe_that_is_noticed():
    columns = seen(fault("probe_open"))
    only(columns, "temperature_c", "probe_ok")
    assert np.isnan(columns.temperature_c[ACTS]).all()
    assert not columns.probe_ok[ACTS].any()
    assert columns.sent(FROM)["probe_ok"] is False
    assert "temperature_c" not in columns.sent(FROM)


def test_an_open_probe_at_its_rail():
    columns = seen(fault("probe_open", amount=988.79))
    only(columns, "temperature_c")
    assert set(columns.temperature_c[ACTS]) == {988.8}


def test_a_short_circuit():
    columns = seen(fault("probe_short"))
    only(columns, "temperature_c")
    assert set(columns.temperature_c[ACTS]) == {round(SHORT_CIRCUIT_C, 1)}


def test_a_stuck_probe_stays_at_what_it_showed():
    columns = seen(fault("probe_stuck"))
    only(columns, "temperature_c")
    assert set(columns.temperature_c[ACTS]) == {SOUND.temperature_c[FROM]}


def test_a_second_probe_that_is_stuck():
    columns = seen(fault("probe_stuck", probe="second"))
    only(columns, "temperature_2_c")
    assert set(columns.temperature_2_c[ACTS]) == {SOUND.temperature_2_c[FROM]}


def test_stuck_while_open_goes_on_showing_nothing():
    columns = seen(fault("probe_open"), LoggerFault(kind="probe_stuck", from_s=1000 + 60 * 150))
    assert np.isnan(columns.temperature_c[150:]).all()
    assert not columns.probe_ok[150:].any()


def test_a_stuck_probe_without_its_value_is_refused():
    with pytest.raises(ValueError, match="with_stuck_values"):
        observe(replace(EXACT, faults=(fault("probe_stuck"),)), TICKS, truth_at(TICKS))


def test_spikes_up_and_down_in_some_readings():
    columns = seen(fault("probe_spikes", amount=30, share=0.2))
    only(columns, "temperature_c")
    heights = np.round(columns.temperature_c - SOUND.temperature_c, 1)
    assert set(heights) == {-30.0, 0.0, 30.0}
    assert 10 <= np.count_nonzero(heights) <= 30


def test_ambient_instead_of_the_payload():
    columns = seen(fault("ambient_instead"))
    only(columns, "temperature_c")
    assert set(columns.temperature_c[ACTS]) == {20.0}


def test_swapped_probes():
    columns = seen(fault("probe_swapped"))
    only(columns, "temperature_c", "temperature_2_c")
    assert columns.temperature_c[ACTS].tolist() == SOUND.temperature_2_c[ACTS].tolist()
    assert columns.temperature_2_c[ACTS].tolist() == SOUND.temperature_c[ACTS].tolist()


@pytest.mark.parametrize("hours", [-5, 1, 9])
def test_a_wrong_zone_is_whole_hours(hours):
    columns = seen(fault("zone_mistake", amount=hours))
    only(columns, "measured_s")
    assert set((columns.measured_s - SOUND.measured_s)[ACTS]) == {3600.0 * hours}


def test_duplicate_timestamps():
    columns = seen(fault("duplicate_timestamps", amount=3))
    only(columns, "measured_s")
    _, counts = np.unique(columns.measured_s[ACTS], return_counts=True)
    assert set(counts[1:-1]) == {3}


def test_what_the_memory_cannot_hold_is_lost_the_oldest_first():
    columns = seen(fault("memory_overflow", amount=30))
    only(columns, "lost")
    assert np.flatnonzero(columns.lost).tolist() == list(range(FROM, UNTIL - 30))


def test_what_a_long_silence_overwrites():
    lost = overwritten(TICKS, [(10, 109), (300, 450)], 100)
    assert np.flatnonzero(lost).tolist() == list(range(300, 351))


def test_a_reboot_counts_anew_after_a_pause():
    columns = seen(fault("reboot"))
    assert np.flatnonzero(~columns.taken).tolist() == list(range(FROM, UNTIL))
    assert columns.boot[[FROM - 1, UNTIL]].tolist() == [0, 1]
    assert columns.seq[[FROM - 1, UNTIL, UNTIL + 1]].tolist() == [FROM - 1, 0, 1]
    assert columns.seq[[UNTIL, 599]].tolist() == [0, 599 - UNTIL]


def test_a_clock_that_gains():
    columns = seen(fault("clock_drift", amount=864))  # 1 %
    ahead = columns.measured_s - SOUND.measured_s
    assert ahead[FROM] == 0
    assert ahead[FROM + 50] == pytest.approx(30)
    assert ahead[UNTIL:] == pytest.approx(60)


def test_a_weak_battery_and_then_none():
    columns = seen(fault("battery_weak", amount=2000))
    assert np.all(np.diff(columns.battery_pct) <= 0)
    assert columns.battery_pct[FROM] > 99
    assert columns.battery_pct[UNTIL] == 0
    assert columns.taken[:FROM].all()
    assert not columns.taken[UNTIL:].any()


def test_silence_is_not_a_hole_in_the_readings():
    only(seen(fault("silent")), "silent")


def test_a_battery_falls_faster_in_the_cold():
    days = np.arange(0, 60 * 1440, 1440)
    level = {}
    for celsius in (20.0, -20.0):
        truth = TrueTemperatures(payload_c=days * 0.0, ambient_c=np.full(len(days), celsius))
        level[celsius] = observe(EXACT, days, truth).battery_pct
    assert level[20.0][30] == 50
    assert level[-20.0][30] == pytest.approx(100 - 50 / 0.75, abs=0.1)


@pytest.mark.parametrize(("celsius", "loses_s"), [(25.0, 0), (-10.0, 3.6), (60.0, 3.6)])
def test_a_quartz_loses_by_the_parabola(celsius, loses_s):
    days = np.array([0, 1440])
    cold = chill(EXACT.at_s(days), np.full(2, celsius))
    truth = TrueTemperatures(payload_c=days * 0.0, ambient_c=days * 0.0, chill_k2_s=cold)
    measured_s = observe(EXACT, days, truth).measured_s
    assert measured_s[1] - measured_s[0] - DAY == pytest.approx(-loses_s, abs=0.02)


def test_clocks_are_off_by_4_to_11_seconds_a_day_slow_or_fast():
    drifts = np.array(
        [draw_instrument(key, MODELS["chip"], on_s=0, interval_s=60).drift_s_per_day for key in range(500)]
    )
    assert abs(drifts).min() >= 4
    assert abs(drifts).max() <= 11
    assert 0.4 < (drifts > 0).mean() < 0.6
    assert abs(drifts).max() - abs(drifts).min() > 6


def test_what_is_beyond_the_range_is_read_as_its_end():
    chip = replace(EXACT, model=MODELS["chip"])
    assert set(observe(chip, TICKS, truth_at(TICKS)).temperature_c) == {-90.0}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"kind": "probe_melts"}, "there is no fault 'probe_melts'; choose from probe_open"),
        ({"kind": "silent", "amount": 3}, "silent takes no amount"),
        ({"kind": "zone_mistake", "amount": 1.5}, "a whole number"),
        ({"kind": "duplicate_timestamps", "amount": 0}, "at least 1"),
        ({"kind": "probe_open", "amount": float("nan")}, "it must be a number"),
        ({"kind": "silent", "until_s": -1.0}, "ends at -1 s"),
        ({"kind": "reboot"}, "it needs an end"),
        ({"kind": "memory_overflow"}, "it needs an end, when the logger is read out"),
        ({"kind": "probe_spikes", "share": 2}, "must be from 0 to 1"),
    ],
)
def test_faults_that_make_no_sense(how, says):
    with pytest.raises(ValueError, match=says):
        LoggerFault(**{"from_s": 0.0} | how)


@st.composite
def instruments(draw):
    faults = []
    for kind in draw(st.lists(st.sampled_from(FAULT_KINDS), max_size=4)):
        first = draw(st.integers(0, 400)) * 30.0
        probe = draw(st.sampled_from(["payload", "second"]))
        until = first + draw(st.integers(1, 400)) * 30.0
        faults.append(LoggerFault(kind=kind, from_s=1000 + first, until_s=1000 + until, probe=probe))
    key = draw(st.integers(0, 2**64 - 1))
    return draw_instrument(key, MODELS["cryo-2"], on_s=1000, interval_s=60, faults=faults)


@given(instruments(), st.lists(st.integers(0, 599), min_size=1, max_size=8))
def test_random_access_equals_the_sequence(instrument, picked):
    at_s = instrument.at_s(TICKS)
    cold = chill(at_s, 20 - TICKS / 20)

    def truth(ticks):
        return replace(truth_at(ticks), ambient_c=20 - ticks / 20, chill_k2_s=cold[ticks])

    settled = with_stuck_values(instrument, truth)
    everything = observe(settled, TICKS, truth(TICKS))
    for tick in picked:
        alone = observe(settled, np.array([tick]), truth(np.array([tick])))
        for each in fields(alone):
            one, row = getattr(alone, each.name), getattr(everything, each.name)[tick : tick + 1]
            assert one.tobytes() == row.tobytes(), each.name
        assert alone.sent(0) == everything.sent(tick)
