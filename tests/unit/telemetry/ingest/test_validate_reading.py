"""Validation of a reading: the type and range of every field, times, clocks, and helpful error messages."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.ingest.decode import DecodedPayload, decode
from telemetry.ingest.validate_reading import parse_instant, validate_reading
from telemetry.model import Reading, Refusal, RefusalReason

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAIN = {"measured_at": "2026-11-21T03:45:00Z", "temperature_c": -178.25}


def validate(raw, *, suspect=False):
    return validate_reading(raw, device_id="LOG-1", received_at=NOW, suspect=suspect)


def detail(raw, reason=RefusalReason.INVALID_READING, *, suspect=False):
    answer = validate(raw, suspect=suspect)
    assert isinstance(answer, Refusal), answer
    assert answer.reason is reason
    assert answer.device_id == "LOG-1"
    return answer.detail


def test_a_plain_reading():
    assert validate(PLAIN) == Reading(
        device_id="LOG-1", measured_at=datetime(2026, 11, 21, 3, 45, tzinfo=UTC), temperature_c=-178.25
    )


def test_every_field():
    sent = {
        **PLAIN,
        "device_id": "LOG-1",
        "probe_ok": True,
        "seq": 2**53 - 1,
        "boot": 0,
        "lat": -90,
        "lon": 180,
        "accuracy_m": 0,
        "ambient_c": 21.5,
        "battery_pct": 100,
        "tilt_deg": 180,
        "shock_g": 0.1,
        "lid_open": False,
        "ln2_kg": 0,
        "pressure_hpa": 1013.25,
        "humidity_pct": 0,
        "flight_mode_until": "2026-11-22T00:00:00+01:00",
        "firmware": {"version": "1.2"},
        "mood": None,
    }
    reading = validate(sent)
    assert isinstance(reading, Reading)
    assert reading.flight_mode_until == datetime(2026, 11, 21, 23, tzinfo=UTC)
    assert reading.extra == {"firmware": {"version": "1.2"}, "mood": None}
    known = reading._asdict()
    for name in sent.keys() & known.keys() - {"measured_at", "flight_mode_until"}:
        assert known[name] == sent[name], name


def test_null_means_absent():
    assert validate({**PLAIN, "seq": None, "lat": None, "lon": None, "device_id": None}) == validate(PLAIN)


def test_a_broken_probe_needs_no_temperature():
    reading = validate({"measured_at": PLAIN["measured_at"], "probe_ok": False})
    assert isinstance(reading, Reading)
    assert (reading.temperature_c, reading.probe_ok) == (None, False)


@pytest.mark.parametrize("celsius", [-400, 1e6, 10**18])
def test_an_impossible_temperature_is_a_matter_of_the_probe_not_of_the_message(celsius):
    assert validate({**PLAIN, "temperature_c": celsius}).temperature_c == celsius


@pytest.mark.parametrize(
    ("value", "needed"),
    [
        ("-178", '"-178": it must be a number of °C, without quotes'),
        (True, "true: it must be a number of °C"),
        ([-178], "an array: it must be a number of °C"),
    ],
)
def test_a_temperature_of_a_wrong_type_is_named_with_what_would_be_right(value, needed):
    assert detail({**PLAIN, "temperature_c": value}) == f"temperature_c is {needed}"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("probe_ok", "true", "it must be true or false, without quotes"),
        ("probe_ok", 1, "it must be true or false"),
        ("seq", 1.0, "it must be an integer from 0 to 2^53-1"),
        ("seq", -1, "it must be an integer from 0 to 2^53-1"),
        ("boot", True, "it must be an integer from 0 to 2^53-1"),
        ("accuracy_m", -1, "it must be a number of metres, 0 or more"),
        ("ambient_c", "warm", "it must be a number of °C, without quotes"),
        ("battery_pct", 100.5, "it must be a number from 0 to 100"),
        ("battery_pct", 255, "it must be a number from 0 to 100"),
        ("tilt_deg", 181, "it must be a number of degrees from 0 to 180"),
        ("shock_g", -0.02, "it must be a number of g, 0 or more"),
        ("lid_open", 0, "it must be true or false"),
        ("ln2_kg", -0.01, "it must be a number of kg, 0 or more"),
        ("pressure_hpa", 0, "it must be a number of hPa above 0"),
        ("humidity_pct", 102.9, "it must be a number from 0 to 100"),
        ("flight_mode_until", "2026-11-21T03:45:00", "send a time from 1970 on with its offset"),
        ("flight_mode_until", 1_795_232_700_123, "send a time from 1970 on with its offset"),
        ("flight_mode_until", "9999-12-31T23:59:59.999999Z", "send a realistic time"),
    ],
)
def test_a_bad_field_beside_the_temperature_is_set_aside_and_the_temperature_counts(field, value, reason):
    reading = validate({**PLAIN, field: value})
    assert reading._replace(set_aside=None) == validate(PLAIN)
    ((name, aside),) = reading.set_aside.items()
    assert (name, aside["value"]) == (field, value)
    assert aside["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**53, "9007199254740992"),
        (10**400, f"1{'0' * 56}..."),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ({"a": [1, "\0"]}, '{"a": [1, "\\u0000"]}'),
        ("x" * 70, '"' + "x" * 56 + "..."),
        ("\ud800", '"\\ud800"'),
    ],
)
def test_what_was_sent_is_kept_as_far_as_it_can_be(value, kept):
    aside = validate({**PLAIN, "battery_pct": value}, suspect=True).set_aside["battery_pct"]
    assert aside["value"] == kept
    json.dumps(aside, allow_nan=False)


@pytest.mark.parametrize("broken", [False, 0, 0.0, "false", "No", " OFF "])
def test_a_probe_that_is_said_to_be_broken_in_other_words_is_broken(broken):
    assert validate({**PLAIN, "probe_ok": broken}).probe_ok is False
    assert validate({"measured_at": 0, "probe_ok": broken}).temperature_c is None


@pytest.mark.parametrize("text", ["NaN", "1e999", "-1e999", "null"])
def test_a_temperature_that_is_none_is_a_broken_probe(text):
    decoded = decode(f'{{"measured_at": 0, "temperature_c": {text}, "seq": 4, "probe_ok": true}}'.encode())
    assert isinstance(decoded, DecodedPayload)
    reading = validate(decoded.items[0], suspect=decoded.suspect)
    assert (reading.temperature_c, reading.probe_ok, reading.seq) == (None, False, 4)
    assert (reading.set_aside is None) == (text == "null")


def test_whatever_a_broken_probe_reports_is_set_aside():
    reading = validate({**PLAIN, "temperature_c": "ERR", "probe_ok": False})
    assert (reading.temperature_c, reading.probe_ok) == (None, False)
    assert reading.set_aside["temperature_c"]["value"] == "ERR"


def test_a_reading_without_a_temperature_says_nothing():
    assert detail({"measured_at": 0}).startswith("temperature_c is missing")
    assert detail({"measured_at": 0, "probe_ok": True}).startswith("temperature_c is missing")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ({"lat": 1}, {"lat": "lat and lon count only together"}),
        ({"lon": 1, "lat": None}, {"lon": "lat and lon count only together"}),
        ({"lat": 91, "lon": 200}, {"lat": "it must be", "lon": "it must be"}),
        ({"lat": 50, "lon": "8"}, {"lon": "it must be", "lat": "lat and lon count only together"}),
        (
            {"lat": 139.7, "lon": 35.7},
            {"lat": "it must be", "lon": "lat and lon count only together; are they swapped?"},
        ),
    ],
)
def test_half_a_position_is_none(place, reason):
    reading = validate({**PLAIN, **place, "accuracy_m": 5})
    assert (reading.lat, reading.lon, reading.accuracy_m) == (None, None, 5)
    assert {name: one["value"] for name, one in reading.set_aside.items()} == {
        name: place[name] for name in reason
    }
    assert all(reading.set_aside[name]["reason"].startswith(one) for name, one in reason.items())


def test_a_number_since_an_illegible_boot_is_none_of_boot_0():
    reading = validate({**PLAIN, "seq": 7, "boot": "3"})
    assert (reading.seq, reading.boot, list(reading.set_aside)) == (None, None, ["boot", "seq"])
    reading = validate({**PLAIN, "seq": "7", "boot": 3})
    assert (reading.seq, reading.boot, list(reading.set_aside)) == (None, 3, ["seq"])


@pytest.mark.parametrize("raw", [5, "x", None, [PLAIN], True])
def test_a_reading_is_an_object(raw):
    assert detail(raw).startswith("a reading must be an object, not ")


def test_another_device():
    answer = detail({**PLAIN, "device_id": "LOG-2"}, RefusalReason.DEVICE_MISMATCH)
    assert answer == 'device_id is "LOG-2", but the message came from LOG-1'
    assert "5" in detail({**PLAIN, "device_id": 5}, RefusalReason.DEVICE_MISMATCH)


def test_a_refusal_keeps_the_counter_where_it_is_legible():
    answer = validate({**PLAIN, "temperature_c": "x", "seq": 7, "boot": 2})
    assert (answer.seq, answer.boot) == (7, 2)
    answer = validate({**PLAIN, "temperature_c": "x", "seq": 7, "boot": True})
    assert (answer.seq, answer.boot) == (None, None)


TIMES = [
    ("2026-11-21T03:45:00Z", datetime(2026, 11, 21, 3, 45, tzinfo=UTC)),
    ("2026-11-21t03:45:00z", datetime(2026, 11, 21, 3, 45, tzinfo=UTC)),
    ("2026-11-21 03:45:00Z", datetime(2026, 11, 21, 3, 45, tzinfo=UTC)),
    ("2026-11-21T03:45:00.1Z", datetime(2026, 11, 21, 3, 45, 0, 100_000, tzinfo=UTC)),
    ("2026-11-21T03:45:00.123456789Z", datetime(2026, 11, 21, 3, 45, 0, 123_456, tzinfo=UTC)),
    ("2026-11-21T03:45:00.999999999Z", datetime(2026, 11, 21, 3, 45, 0, 999_999, tzinfo=UTC)),
    ("2026-11-21T03:45:00+05:45", datetime(2026, 11, 20, 22, 0, tzinfo=UTC)),
    ("2026-11-21T03:45:00-00:00", datetime(2026, 11, 21, 3, 45, tzinfo=UTC)),
    ("2026-11-21T03:45:00+0100", datetime(2026, 11, 21, 2, 45, tzinfo=UTC)),
    ("2026-11-21T03:45:00.5-0330", datetime(2026, 11, 21, 7, 15, 0, 500_000, tzinfo=UTC)),
    ("2026-11-21T03:45:00+01", datetime(2026, 11, 21, 2, 45, tzinfo=UTC)),
    ("2016-12-31T23:59:60+0000", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ("2017-01-01T08:59:60.5+09:00", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    (0, datetime(1970, 1, 1, tzinfo=UTC)),
    (1_795_232_700_123, datetime(2026, 11, 21, 3, 45, 0, 123_000, tzinfo=UTC)),
    (253_402_300_799_999, datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
]


@pytest.mark.parametrize(("sent", "expected"), TIMES)
def test_times(sent, expected):
    time = parse_instant(sent)
    assert time == expected
    assert time.tzinfo is UTC


NO_TIMES = [
    "2026-11-21T03:45:00",  # without an offset
    "2026-11-21T03:45Z",
    "2026-11-21",
    "2026-11-21T24:00:00Z",
    "2026-11-21T03:45:60Z",  # no leap second ever was there
    "2026-02-30T00:00:00Z",
    "2026-11-21T03:45:00+24:00",
    "2026-11-21T03:45:00+2400",
    "2026-11-21T03:45:00+1",
    "2026-11-21T03:45:00+010",
    "2026-11-21T03:45:00 0100",
    "2026-11-21T03:45:00.Z",
    "2026-11-21T03:45:00.1234567891Z",
    "20261121T034500Z",
    "2026-W47-6T03:45:00Z",
    "٢٠٢٦-11-21T03:45:00Z",
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    " 2026-11-21T03:45:00Z",
    "",
    "1795232700123",
    1_795_232_700_123.0,
    -1,
    True,
    [],
]


@pytest.mark.parametrize("sent", NO_TIMES)
def test_what_is_no_time(sent):
    assert isinstance(parse_instant(sent), str)
    assert detail({**PLAIN, "measured_at": sent}).startswith("measured_at is ")


def test_a_time_must_be_there():
    assert detail({"temperature_c": 1}).startswith(
        "measured_at is missing: send a time from 1970 on with its offset"
    )


def test_a_clock_may_be_five_minutes_ahead_and_not_more():
    limit = NOW + timedelta(minutes=5)
    assert isinstance(validate({**PLAIN, "measured_at": limit.isoformat()}), Reading)
    beyond = limit + timedelta(microseconds=1)
    assert detail({**PLAIN, "measured_at": beyond.isoformat()}, RefusalReason.CLOCK_AHEAD) == (
        'measured_at is "2026-11-21T12:05:00.000001+00:00", 0:05:00.000001 after the message was received'
    )
    far = {**PLAIN, "measured_at": "9999-12-31T00:00:00Z"}
    assert (
        detail(far, RefusalReason.CLOCK_AHEAD) == 'measured_at is "9999-12-31T00:00:00Z", far in the future'
    )


@pytest.mark.parametrize("sent", ["9999-12-31T23:59:59.999999Z", 2**63, 10**300, 1_795_232_700_123_456])
def test_a_time_beyond_all_calendars_is_ahead(sent):
    assert "far in the future" in detail({**PLAIN, "measured_at": sent}, RefusalReason.CLOCK_AHEAD)


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ('{"x": NaN}', "x", "not a finite number"),
        ('{"x": {"y": [1e999]}}', "x", "not a finite number"),
        ('{"x": "a\\u0000b"}', "x", "U+0000"),
        ('{"x": ["\\ud800"]}', "x", "surrogate"),
        ('{"a\\u0000b": 1}', "a\\u0000b", "U+0000"),
        ('{"x": {"\\udfff": 1}}', "x", "surrogate"),
        ('{"x": ' + "[" * 33 + "]" * 33 + "}", "x", "nested more than 32 levels deep"),
    ],
)
def test_unknown_fields_that_cannot_be_kept_are_set_aside_and_the_others_kept(text, name, why):
    decoded = decode(text.encode())
    assert isinstance(decoded, DecodedPayload)
    reading = validate({**PLAIN, **decoded.items[0], "firmware": "1.2"}, suspect=decoded.suspect)
    assert (reading.temperature_c, reading.extra) == (-178.25, {"firmware": "1.2"})
    assert list(reading.set_aside) == [name]
    assert why in reading.set_aside[name]["reason"]


def test_thousands_of_bad_fields_are_not_kept_one_by_one():
    reading = validate(
        {**PLAIN, "battery_pct": 255, **{f"\0{number}": 1 for number in range(5000)}}, suspect=True
    )
    assert len(reading.set_aside) == 41
    assert reading.set_aside["(others)"]["value"] == 4961
    assert len(json.dumps(reading.set_aside)) < 8000


def test_unknown_fields_that_can_be_kept():
    odd = {"\\u0000": "\\ud800", "€": "😀\n\t", "big": 2**64 + 1, "deep": json.loads("[" * 31 + "]" * 31)}
    for suspect in (True, False):
        assert validate({**PLAIN, **odd}, suspect=suspect).extra == odd


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Reading._fields, "other"]), json_values) | json_values)
def test_nothing_raises_and_refusals_can_be_stored(raw):
    answer = validate(raw, suspect=True)
    if isinstance(answer, Refusal):
        assert "\0" not in answer.detail
        answer.detail.encode()
    else:
        assert answer.measured_at - NOW <= timedelta(minutes=5)
        json.dumps(answer.extra, allow_nan=False)


SIDE = sorted(set(Reading._fields) - {"device_id", "measured_at", "temperature_c", "extra", "set_aside"})


@given(st.dictionaries(st.sampled_from([*SIDE, "note", "x y"]), json_values))
def test_no_field_beside_it_costs_the_temperature_and_none_is_lost(beside):
    reading = validate({**beside, **PLAIN}, suspect=True)
    assert isinstance(reading, Reading), reading
    assert (reading.temperature_c, reading.measured_at) == (
        -178.25,
        datetime(2026, 11, 21, 3, 45, tzinfo=UTC),
    )
    counts = reading._asdict() | (reading.extra or {})
    aside = reading.set_aside or {}
    for name in beside.keys() - aside.keys() - {"flight_mode_until"}:
        assert beside[name] is None or counts[name] == beside[name], name
    for name in aside:
        assert name == "probe_ok" or counts.get(name) is None, name
    json.dumps([reading.extra, aside], allow_nan=False)
