"""The parts of reading a CSV: times, numbers, units, columns, and what is asked for where they do not tell."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import orjson
import pytest

from simulators.exports.cells import WrittenNumber, is_missing, parse_number, to_celsius, unit_in
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.times import parse_time
from simulators.exports.trace import read_trace
from simulators.exports.zones import parse_zone, place_in_zone
from simulators.instants import milliseconds
from simulators.replay.csv_messages import as_messages, numbered

AT = datetime(2026, 11, 21, 15, 45)
LOG = Choices(device_id="LOG-1")


@pytest.mark.parametrize(
    ("text", "is_at"),
    [
        ("2026-11-21T15:45:00", AT),
        ("2026-11-21 15:45", AT),
        ("2026/11/21  15:45:00", AT),
        ("2026.11.21 15:45", AT),
        ("21.11.2026 15:45", AT),
        ("21.11.26, 15:45:00", AT),
        ("21-Nov-2026 15:45:00", AT),
        ("21 November 2026 3:45 PM", AT),
        ("Nov 21, 2026 3:45:00 p.m.", AT),
        ("2026-11-21T15:45:00.250", AT.replace(microsecond=250_000)),
        ("2026-11-21T15:45:00Z", AT.replace(tzinfo=UTC)),
        ("2026-11-21 15:45:00 UTC", AT.replace(tzinfo=UTC)),
        ("2026-11-21T15:45:00-05:30", AT.replace(tzinfo=timezone(timedelta(hours=-5.5)))),
        ("2026-11-21 15:45:00 GMT+2", AT.replace(tzinfo=timezone(timedelta(hours=2)))),
        ("1795275900", AT.replace(tzinfo=UTC)),
        ("1795275900000", AT.replace(tzinfo=UTC)),
        ("2026-11-21", AT.replace(hour=0, minute=0)),
        ("21.11.2026 12:00:00 AM", AT.replace(hour=0, minute=0)),
    ],
)
def test_times(text, is_at):
    time = parse_time(text)
    assert time is not None
    assert time.settled("month first") == is_at


@pytest.mark.parametrize(
    "text", ["", "soon", "15:45", "2026-11", "2026-11-21 15", "21 Brumaire 2026", "13:00 PM"]
)
def test_no_times(text):
    assert parse_time(text) is None


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "2026-11-21 25:00", "31.04.2026"])
def test_times_that_never_were(text):
    assert parse_time(text).settled("day first") is None


def test_day_or_month_first():
    time = parse_time("3/4/2026 08:00")
    assert time.settled("day first").month == 4
    assert time.settled("month first").month == 3


def test_hours_that_the_clock_has_twice_or_not_at_all():
    zurich = ZoneInfo("Europe/Zurich")
    twice, never = datetime(2026, 10, 25, 2, 30), datetime(2026, 3, 29, 2, 30)
    first = place_in_zone(twice, zurich, None)
    assert (first.at, first.twice) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True)
    after = datetime(2026, 10, 25, 0, 40, tzinfo=UTC)
    assert place_in_zone(twice, zurich, after).at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert place_in_zone(twice, zurich, first.at) == first
    assert place_in_zone(never, zurich, None) is None


@pytest.mark.parametrize(
    ("text", "offset_h"), [("+02:00", 2), ("GMT-0530", -5.5), ("utc", 0), ("Z", 0), ("+2", 2)]
)
def test_offsets(text, offset_h):
    assert parse_zone(text).utcoffset(None) == timedelta(hours=offset_h)


@pytest.mark.parametrize("text", ["Europe/Zurich", "+15:00", "+02:75", "2", ""])
def test_no_offsets(text):
    assert parse_zone(text) is None


@pytest.mark.parametrize(
    ("text", "comma", "value", "unit"),
    [
        ("-178.4", False, "-178.4", None),
        ("−178,4", True, "-178.4", None),
        ("+.5", False, "0.5", None),
        ("-178", True, "-178", None),
        ("-1.784E2", False, "-178.4", None),
        ("-289.1 °F", False, "-289.1", "F"),
        ("94.75K", False, "94.75", "K"),
    ],
)
def test_numbers(text, comma, value, unit):
    assert parse_number(text, decimal_comma=comma) == WrittenNumber(Decimal(value), unit)


@pytest.mark.parametrize(
    ("text", "comma"),
    [("-178,4", False), ("-178.4", True), ("1.234,5", True), ("-178.4 m", False), ("x", False), ("", False)],
)
def test_no_numbers(text, comma):
    assert parse_number(text, decimal_comma=comma) is None


@pytest.mark.parametrize("text", ["--", "N/A", "NaN", "Open", " open circuit ", "####", "OL", "−"])
def test_words_for_no_value(text):
    assert is_missing(text)


def test_conversions_are_exact():
    assert to_celsius(Decimal("-289.12"), "F") == -178.4
    assert to_celsius(Decimal("94.75"), "K") == -178.4
    assert to_celsius(Decimal("-178.4"), "C") == -178.4
    assert to_celsius(Decimal(77), "K") == -196.15


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Temp (°F)", "F"),
        ("Temperature [K]", "K"),
        ("probe_1_c", "C"),
        ("Temp, °C", "C"),
        ("Temp °C (1)", "C"),
        ("Temperature Celsius", "C"),
        ("Probe C", "C"),
        ("Temperature", None),
        ("Coffee", None),
    ],
)
def test_units_in_headers(name, unit):
    assert unit_in(name) == unit


def read(text, choices=LOG):
    return read_trace(text.encode(), choices)


@pytest.mark.parametrize(
    ("header", "time", "payload", "second", "ambient"),
    [
        ("Time (UTC),Temp °C", (0,), 1, None, None),
        ("Date,Time UTC,Probe 1 °C,Probe 2 °C", (0, 1), 2, 3, None),
        ("id,timestamp UTC,internal temp (C),external temp (C)", (1,), 3, None, 2),
        ("measured_at UTC,temperature_c,temperature_2_c,ambient_c", (0,), 1, 2, 3),
        ("Ch1 (°C),Ch2 (°C),Date/Time GMT", (2,), 0, 1, None),
        ("UTC,Neck °C,Payload °C,Dew point °C,Max °C", (0,), 2, 1, None),
        ("Datum Uhrzeit UTC,Température °C", (0,), 1, None, None),
        ("Timestamp UTC,T1 °C,T2 °C,Alarm temp °C", (0,), 1, 2, None),
    ],
)
def test_columns_are_known_by_their_names(header, time, payload, second, ambient):
    width = header.count(",") + 1
    row = ["20"] * width
    row[time[0]] = "2026-11-21" if len(time) == 2 else "2026-11-21 15:45"
    if len(time) == 2:
        row[time[1]] = "15:45"
    found = read(f"{header}\n{','.join(row)}\n").layout
    assert (found.time, found.temperature, found.second, found.ambient) == (time, payload, second, ambient)


@pytest.mark.parametrize(
    ("text", "choices", "says"),
    [
        ("", LOG, "Line 1 has nothing"),
        ("Time (UTC),Temp °C\n2026-11-21 15:45,1\n", Choices(), "--device-id"),
        ("Time,Temp °C\n2026-11-21 15:45,1\n", LOG, "state it with --time-zone"),
        ("Time (UTC),Temp\n2026-11-21 15:45,1\n", LOG, "state it with --unit C, F or K"),
        ("Time (UTC),Temp °C\n3/4/2026 15:45,1\n", LOG, "--day-first or --month-first"),
        ("Time (UTC),Temp °C\n13/4/2026 15:45,1\n4/13/2026 15:45,1\n", LOG, "--day-first or --month-first"),
        ("Time (UTC),Left °C,Right °C\n2026-11-21 15:45,1,1\n", LOG, "--temperature-column: 1 'Time"),
        ("Time,x\n", Choices(temperature_column="y"), "no line has a column 'y', for --temperature-column"),
        ("Time,Temp\n", Choices(time_column="When"), "no line has a column 'When', for --time-column"),
        (
            "Time,Temp °C\n",
            Choices(second_probe_column="3"),
            "--second-probe-column 3: there is no such column",
        ),
        ("Time (UTC),Probe 2 °C\n2026-11-21 15:45,1\n", LOG, "which column is the payload's temperature"),
    ],
)
def test_what_a_file_does_not_tell_is_asked_for(text, choices, says):
    with pytest.raises(TraceRefusedError) as refused:
        read(text, choices)
    assert says in str(refused.value)


def test_day_first_by_option_and_by_the_rest_of_the_file():
    text = "Time (UTC),Temp °C\n3/4/2026 15:45,1\n"
    for day_first, month in ((True, 4), (False, 3)):
        choices = Choices(device_id="LOG-1", day_first=day_first)
        assert read(text, choices).readings[0].measured_at.month == month
    assert [r.measured_at.month for r in read(f"{text}13/4/2026 15:45,1\n").readings] == [4, 4]


def test_messages_of_each_logger_apart():
    text = "Time (UTC),Device,Temp °C\n" + "".join(
        f"2026-11-21 15:{n:02},{'A' if n < 5 else 'B'},1\n" for n in range(8)
    )
    messages = list(as_messages(read(text, Choices()).readings, 3))
    assert [m.topic for m in messages] == [f"dewar/v1/{d}/readings" for d in "AAB"]
    assert [m.payload.count(b"measured_at") for m in messages] == [3, 2, 3]
    (single,) = as_messages(read(text, Choices()).readings[:1], 3)
    assert single.payload == b'{"measured_at":"2026-11-21T15:00:00.000Z","temperature_c":1.0}'


def test_numbered_by_time_whatever_the_order_of_the_file():
    text = "Device,Time,Temp (C)\nA,2026-11-21T00:02Z,1\nB,2026-11-21T00:01Z,2\nA,2026-11-21T00:01Z,3\nA,2026-11-21T00:02Z,1\n"
    readings = numbered(read_trace(text.encode(), Choices()).readings)
    assert [(each.device_id, each.seq) for each in readings] == [("A", 1), ("B", 0), ("A", 0), ("A", 1)]
    boot = milliseconds(datetime(2026, 11, 21, 0, 1, tzinfo=UTC))
    assert {each.boot for each in readings} == {boot}
    assert orjson.loads(next(as_messages(readings, 1)).payload)["seq"] == 1


def test_a_garbled_line_has_its_number_so_that_the_file_fills_the_hole_once_mended():
    text = "Device,Time,Temp (C)\n" + "".join(
        f"A,2026-11-21T00:0{n}Z,{cell}\n" for n, cell in enumerate(["1", "1O.5", "3", "Button pressed", "5"])
    )
    trace = read_trace(text.encode(), Choices())
    assert trace.garbled == (("A", datetime(2026, 11, 21, 0, 1, tzinfo=UTC)),)  # words are no measurement
    sent = [(each.measured_at.minute, each.seq) for each in numbered(trace.readings, trace.garbled)]
    assert sent == [(0, 0), (2, 2), (4, 3)]
    mended = read_trace(text.replace("1O.5", "10.5").encode(), Choices())
    assert {(0, 0), (2, 2), (4, 3)} < {(r.measured_at.minute, r.seq) for r in numbered(mended.readings)}
