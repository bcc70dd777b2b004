"""A trace written in any style is read as it was meant; whatever else is in a file, each line is accounted for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.trace import read_trace

ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"]
TIMES = {
    "%Y-%m-%d %H:%M:%S": None,
    "%Y/%m/%dT%H:%M:%S": None,
    "%d.%m.%Y %H:%M:%S": None,
    "%d-%b-%Y %I:%M:%S %p": None,
    "%d/%m/%Y %H:%M:%S": True,
    "%m/%d/%y %I:%M:%S %p": False,
}
UNITS = {"C": lambda c: c, "F": lambda c: c * 9 / 5 + 32, "K": lambda c: c + 273.15}


@st.composite
def styles(draw):
    delimiter = draw(st.sampled_from(";\t,|"))
    comma = draw(st.booleans()) and delimiter != ","
    return delimiter, comma, draw(st.sampled_from(list(TIMES))), draw(st.sampled_from(list(UNITS)))


@given(
    styles(),
    st.sampled_from(ZONES),
    st.integers(0, 400 * 86_400),
    st.lists(st.integers(-19600, 3000), min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_any_style_is_read_as_it_was_meant(style, zone, start_s, hundredths, newest_first, encoding):
    delimiter, comma, form, unit = style
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start_s)
    trace = [(began + timedelta(minutes=7 * n), value / 100) for n, value in enumerate(hundredths)]
    rows = [["Date and time", f"Temperature [{unit}]"]]
    for at, degrees in reversed(trace) if newest_first else trace:
        value = f"{UNITS[unit](degrees):.4f}"
        rows.append(
            [at.astimezone(ZoneInfo(zone)).strftime(form), value.replace(".", ",") if comma else value]
        )
    text = "\r\n".join(delimiter.join(row) for row in rows)
    choices = Choices(device_id="LOG-1", zone=ZoneInfo(zone), day_first=TIMES[form])
    read = read_trace(text.encode(encoding), choices)
    assert read.unread == 0
    got = sorted((reading.measured_at, reading.temperature_c) for reading in read.readings)
    twice = any(" occurs twice " in remark.text for remark in read.remarks)
    if not twice:
        assert [at for at, _ in got] == [at for at, _ in trace]
        assert all(abs(a - b) < 0.0011 for (_, a), (_, b) in zip(got, trace, strict=True))


CELLS = [
    "2026-11-21 03:45",
    "03:45",
    "21/11/26 3:45 PM",
    "-178.4",
    "-178,4",
    "Open",
    "--",
    "LOG-1",
    "1e99",
    "9" * 40,
]
HEADS = ["Time (UTC)", "Temp (°C)", "Probe 2 (K)", "Device", "°C"]
MARKS = ['"', ",", ";", "\t", "|", "\0", "\r", "é", "+", "0"]
PIECES = st.sampled_from([*CELLS, *HEADS, *MARKS])
JUNK = st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join)


@given(st.lists(JUNK, max_size=12), st.booleans())
def test_every_line_is_accounted_for(lines, with_header):
    text = "\n".join(["Time (UTC),Temp (°C),Probe 2 (°C)"] * with_header + lines)
    try:
        trace = read_trace(text.encode(), Choices(device_id="LOG-1", day_first=True))
    except TraceRefusedError:
        return
    told = {reading.line for reading in trace.readings} | {r.line for r in trace.remarks if not r.sent}
    assert len(told) == trace.lines == len(trace.readings) + trace.unread


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content):
    try:
        trace = read_trace(content, Choices(device_id="LOG-1"))
    except TraceRefusedError:
        return
    assert trace.lines == len(trace.readings) + trace.unread
