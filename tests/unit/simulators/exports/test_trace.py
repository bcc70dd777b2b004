"""A CSV as a whole: its columns, and what people are asked to state."""

from datetime import datetime

import pytest

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
