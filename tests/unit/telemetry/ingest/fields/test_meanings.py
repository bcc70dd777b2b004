"""Unknown fields that speak of a known one: understood, refused, or that one is set aside; never ignored."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.ingest.fields.meanings import NAMES, understand
from telemetry.ingest.validate_reading import validate_reading
from telemetry.model import Reading, Refusal

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAIN = {"measured_at": "2026-11-21T03:45:00Z", "temperature_c": 39.4}


def validate(**fields):
    return validate_reading({**PLAIN, **fields}, device_id="LOG-1", received_at=NOW, suspect=True)


def judged(**fields):
    answer = validate(**fields)
    assert isinstance(answer, Reading), answer
    return answer


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"unit": "F"}, 'unit is "F", and temperature_c is read in °C only'),
        ({"units": "fahrenheit"}, 'units is "fahrenheit", and temperature_c is read in °C only'),
        ({"Temperature-Unit": "K"}, 'Temperature-Unit is "K", and temperature_c is read in °C only'),
        ({"uom": 2}, "uom is 2, and temperature_c is read in °C only"),
        ({"unit": {"temperature": "F"}}, 'unit.temperature is "F", and temperature_c is read in °C only'),
        ({"fahrenheit": True}, "fahrenheit is true, and temperature_c is read in °C only"),
        ({"scale": 0.1}, "scale is 0.1, and temperature_c is read as it is: send it ready reckoned"),
        ({"scale": "F"}, 'scale is "F", and temperature_c is read in °C only'),
        ({"temperature_offset": -0.5}, "temperature_offset is -0.5, and temperature_c is read as it is"),
        ({"temperature_f": 39.4}, "temperature_f is 39.4, and temperature_c is 39.4: one of them is wrong"),
        ({"Temperature_C": 4.1}, "Temperature_C is 4.1, and temperature_c is 39.4: send one of them"),
        ({"measuredAt": 5}, 'measuredAt is 5, and measured_at is "2026-11-21T03:45:00Z": send one of them'),
        ({"temperature_c": None, "temp_f": 39}, "temp_f is 39, and is not read: send temperature_c, in °C"),
        ({"measured_at": 1_795_232_700, "time_unit": "s"}, "time_unit is"),
        ({"uni\0t": "F"}, 'uni\\u0000t is "F"'),
    ],
)
def test_what_makes_the_temperature_or_its_time_another_is_refused(fields, says):
    answer = validate(**fields, seq=4, boot=2)
    assert isinstance(answer, Refusal), answer
    assert answer.reason == "invalid_reading"
    assert answer.detail.startswith(says)
    assert (answer.boot, answer.seq) == (2, 4)


@pytest.mark.parametrize(
    "fields",
    [
        *({"unit": unit} for unit in ("C", "°C", "celsius", "degC", "metric", "", None)),
        {"units": {"temperature": "°C", "humidity": "%", "voltage": "mV"}},
        {"fahrenheit": False},
        {"temperature_f": 102.9},
        {"temperature_k": 312.55},
        {"scale": 1, "temperature_offset": 0, "exponent": 0.0},
        {"time_unit": "s"},
        {"sensor_ok": True, "probe_fault": False},
        {"firmware": "F", "gain": 8, "offset": 4096, "voltage_unit": "mV", "timezone": "Europe/Berlin"},
    ],
)
def test_what_changes_nothing_is_kept_as_sent(fields):
    reading = judged(**fields)
    assert (reading.temperature_c, reading.probe_ok, reading.set_aside) == (39.4, True, None)
    assert reading.extra == fields


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"latitude": 50.1, "longitude": 8.6}, {"lat": 50.1, "lon": 8.6}),
        ({"lat": 50.1, "lng": 8.6}, {"lat": 50.1, "lon": 8.6}),
        ({"LAT": 50.1, "Lon": 8.6, "lon": None}, {"lat": 50.1, "lon": 8.6}),
        ({"probeOk": False}, {"probe_ok": False}),
        ({"Seq": 4, "BOOT": 2, "batteryPct": 80}, {"seq": 4, "boot": 2, "battery_pct": 80}),
        ({"temperature_c ": 39.4}, {}),
        ({"lat": 50.1, "lon": 8.6, "latitude": 50.1}, {"lat": 50.1, "lon": 8.6}),
        ({"flight-mode-until": "2026-11-21T14:00:00Z"}, {"flight_mode_until": NOW.replace(hour=14)}),
    ],
)
def test_another_spelling_is_the_same_field(fields, meant):
    assert judged(**fields) == judged()._replace(**meant)


def test_all_of_a_reading_may_be_spelled_otherwise():
    sent = {"measuredAt": PLAIN["measured_at"], "tempC": 39.4}
    assert validate_reading(sent, device_id="LOG-1", received_at=NOW, suspect=False) == judged()


@pytest.mark.parametrize(
    ("fields", "aside"),
    [
        ({"humidity_pct": 0.4, "humidity_unit": "ratio"}, {"humidity_pct": 0.4}),
        ({"pressure_hpa": 101.3, "units": {"pressure": "kPa"}}, {"pressure_hpa": 101.3}),
        ({"lat": 50.1, "lon": 8.6, "latitude": 51}, {"lat": 50.1, "lon": 8.6}),
        ({"seq": 4, "boot": 1, "Boot": 2}, {"seq": 4, "boot": 1}),
        (
            {"flight_mode_until": "2026-11-21T14:00:00Z", "flightModeUntil": "2026-11-21T15:00:00Z"},
            {"flight_mode_until": "2026-11-21T14:00:00Z"},
        ),
        ({"latitude": 139.7, "longitude": 35.7}, {"lat": 139.7, "lon": 35.7}),
    ],
)
def test_what_makes_another_field_doubtful_costs_only_that_one(fields, aside):
    reading = judged(**fields)
    assert {name: one["value"] for name, one in reading.set_aside.items()} == aside
    assert all(getattr(reading, name) is None for name in aside)
    assert reading.temperature_c == 39.4


@pytest.mark.parametrize(
    "says", [{"sensor_ok": False}, {"probe_fault": True}, {"temperature_valid": "no"}, {"probe_open": 1}]
)
def test_a_probe_that_is_said_to_be_broken_is(says):
    reading = judged(**says)
    assert (reading.probe_ok, reading.temperature_c, reading.extra) == (False, 39.4, says)


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just({"temp": "F"})
)
spelled = st.sampled_from(sorted(NAMES)).flatmap(
    lambda name: st.sampled_from(["", "_unit", "_scale", "_f", "_ok"]).map(lambda end: (name + end).title())
)


@given(st.dictionaries(st.sampled_from(["unit", "kelvin", "temp_f", "Temp C", "latitude"]) | spelled, values))
def test_nothing_raises_and_what_is_understood_is_understood_once(fields):
    meant = understand({**PLAIN, **fields})
    if meant.problem is None and not meant.spoiled:
        again = understand(meant.raw)
        assert (repr(again.raw), again.problem) == (repr(meant.raw), None)
    answer = validate(**fields)
    assert isinstance(answer, Reading | Refusal)
