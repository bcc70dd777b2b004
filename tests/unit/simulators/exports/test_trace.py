"""A CSV as a whole: its columns, and what people are asked to state."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.cli.replay_csv import told
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.trace import read_trace

AT = datetime(2026, 11, 21, 15, 45)
LOG = Choices(device_id="LOG-1")


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
        (
            "#,Date-Time (EST/EDT),Ch: 1 - Temperature (*C),Ch: 2 - Light (lux),DewPt (*C)",
            (1,),
            2,
            None,
            None,
        ),
        ("No.,Date,Time,AM/PM,Celsius(°C),Humidity(%rh),Dew Point(°C) UTC", (1, 2, 3), 4, None, None),
        ("Local time,UTC time,Temp °C", (1,), 2, None, None),
        ("Zeitpunkt UTC,Kanal 1 °C,Sollwert °C,Grenzwert °C,Taupunkt °C", (0,), 1, None, None),
    ],
)
def test_columns_are_known_by_their_names(header, time, payload, second, ambient):
    width = header.count(",") + 1
    row = ["20"] * width
    row[time[0]] = "2026-11-21" if len(time) > 1 else "2026-11-21 15:45"
    if len(time) > 1:
        row[time[1]] = "3:45" if len(time) > 2 else "15:45"
    if len(time) > 2:
        row[time[2]] = "PM"
    found = read(f"{header}\n{','.join(row)}\n", replace(LOG, zone=UTC)).layout
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


def test_a_unit_beside_each_value_holds_for_its_line():
    text = (
        "Time (UTC),Value,Unit\n2026-11-21 15:45,40.1,F\n2026-11-21 15:50,4.5,°C\n2026-11-21 15:55,45,%RH\n"
    )
    trace = read(text)
    assert [reading.temperature_c for reading in trace.readings] == [4.5, 4.5]
    assert [(remark.line, remark.sent) for remark in trace.remarks] == [(4, False)]
    stated = read(text, replace(LOG, unit="C"))
    assert [reading.line for reading in stated.readings] == [3]


def test_a_unit_beside_a_value_and_another_in_the_header_is_asked_about():
    with pytest.raises(TraceRefusedError, match="--unit C, F or K"):
        read("Time (UTC),Temp (°C),Unit\n2026-11-21 15:45,40.1,F\n")


def test_a_unit_in_which_no_probe_can_read_is_asked_about():
    text = "Time (UTC),Temp (°C)\n2026-11-21 15:45,-310.1\n2026-11-21 15:50,-310.2\n"
    with pytest.raises(TraceRefusedError, match=r"such as -310.1 °C: state the unit with --unit C, F or K"):
        read(text)
    assert read(text, replace(LOG, unit="F")).readings[0].temperature_c == -190.056


def test_two_zones_of_one_file_are_asked_about():
    with pytest.raises(TraceRefusedError, match="state it with --time-zone"):
        read("Time zone,UTC+02:00\nTime (UTC),Temp (°C)\n2026-11-21 15:45,4.1\n")


def test_a_stated_zone_that_is_not_the_file_s_is_told():
    text = "Time zone,UTC+02:00\nTime,Temp (°C)\n2026-11-21 15:45,4.1\n"
    lines = list(told(read(text, replace(LOG, zone=UTC)), "box.csv", everything=False))
    assert "in UTC, although the header says UTC+02:00" in lines[1]


def test_the_delimiter_is_the_one_that_makes_lines_readable():
    trace = read("Date Time, GMT+02:00;Temp, °C (LGR S/N: 1, SEN S/N: 1)\n21.11.2026 15:45;7,6\n")
    assert (trace.layout.delimiter, trace.readings[0].temperature_c) == (";", 7.6)


def test_a_decimal_comma_in_a_file_of_commas_is_put_together_where_that_is_clear():
    text = (
        "Time (UTC),T1 (°C),T2 (°C)\n2026-11-21 15:45,7,6,8,1\n2026-11-21 15:50,7,8,1\n2026-11-21 15:55,7,8\n"
    )
    with pytest.raises(TraceRefusedError, match="--decimal-comma or --decimal-point"):
        read(text)
    trace = read(text, replace(LOG, decimal_comma=True))
    assert [(each.line, each.temperature_c, each.temperature_2_c) for each in trace.readings] == [
        (2, 7.6, 8.1),
        (4, 7.0, 8.0),
    ]
    assert [(remark.line, remark.sent) for remark in trace.remarks] == [(3, False)]


def test_utf_16_without_its_mark():
    text = "Time (UTC),Temp (°C)\n2026-11-21 15:45,4.1\n"
    for encoding in ("utf-16-le", "utf-16-be"):
        assert read_trace(text.encode(encoding), LOG).readings[0].temperature_c == 4.1
