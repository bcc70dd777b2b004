"""A trace written in any form is read as it was meant or refused, never read as another; each line is accounted for."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.trace import read_trace

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]
CLOCKS_CHANGE = [
    datetime(2026, 10, 24, 22, tzinfo=UTC),
    datetime(2026, 11, 1, 3, tzinfo=UTC),
    datetime(2026, 3, 28, 22, tzinfo=UTC),
    datetime(2026, 4, 4, 13, tzinfo=UTC),
    datetime(2025, 11, 2, 4, tzinfo=UTC),
]
ORDERS = {
    "%Y-%m-%d": {},
    "%Y.%m.%d": {},
    "%Y%m%d": {},
    "%d-%b-%Y": {},
    "%b %d, %Y": {},
    "%d.%m.%Y": {"day_first": True},
    "%d.%m.%y": {"day_first": True},
    "%d/%m/%Y": {"day_first": True},
    "%d-%m-%y": {"day_first": True},
    "%m/%d/%Y": {"day_first": False},
    "%m/%d/%y": {"day_first": False},
    "%y-%m-%d": {"year_first": True},
    "%y/%m/%d": {"year_first": True},
    "%y.%m.%d": {"year_first": True},
}
CLOCKS = [" %H:%M:%S", "T%H:%M:%S", " %I:%M:%S %p", ", %H:%M", " %I:%M:%S"]
IN_ZONE = {"name of column": "", "line above": "", "each time": "%z", "stated": "", "nowhere": ""}
UNITS = {"C": lambda c: c, "F": lambda c: c * 9 / 5 + 32, "K": lambda c: c + 273.15}
IN_UNIT = {
    "name of column": [
        "Temp (*{})",
        "Temperature [°{}]",
        "Temp - °{}",
        "probe_1_{}",
        "Ch: 1 - Temperature   (°{})",
    ],
    "column beside": ["Reading", "Temperature"],
    "line below": ["Temp"],
    "each cell": ["Temperature"],
    "stated": ["Temp"],
    "nowhere": ["Temp"],
}
BROKEN = [
    "Fühlerbruch",
    "--.-",
    "Open",
    "sonde coupée",
    "Sensor error",
    "> 150,0",
    "< -200",
    "-9999",
    "####",
    "Err 4",
]
ABOVE = ["Box 7", "Serial No.{0}0042", "Start{0}12.03.2026 10:00{0}Max{0}8,9", "Report{0}{0}", "", "sep={0}"]
BELOW = ["Minimum{0}{0}-1.0", "Ende{0}{0}", "", "Events{0}Time{0}Kind", "Average{0}{0}4.2"]


@st.composite
def tables(draw):
    """A trace: instants in order, at an interval or not, and hundredths of a degree or a word for none."""
    began = draw(
        st.one_of(
            st.integers(0, 700 * 1440).map(lambda minutes: NOW - timedelta(days=1, minutes=minutes)),
            st.sampled_from(CLOCKS_CHANGE),
        )
    ) + timedelta(minutes=draw(st.integers(0, 59)))
    began = began.replace(second=0)
    interval = draw(st.sampled_from([1, 5, 7, 10, 30, 40, 60, 90, 120, 1440]))
    number = draw(st.integers(1, 30))
    lost = draw(st.sets(st.integers(0, 30), max_size=3))
    degrees = st.integers(-19600, 14900) | st.integers(0, 14).map(lambda n: n * 100) | st.sampled_from(BROKEN)
    return [
        (began + timedelta(minutes=interval * n), draw(degrees))
        for n in range(number)
        if n == 0 or n not in lost
    ]


@st.composite
def forms(draw):
    unit_where = draw(st.sampled_from(list(IN_UNIT)))
    return {
        "delimiter": draw(st.sampled_from(";\t,|")),
        "comma": draw(st.booleans()),
        "quoted": draw(st.booleans()),
        "decimals": draw(st.sampled_from([1, 2, 3])),
        "short": draw(st.booleans()),
        "order": draw(st.sampled_from(list(ORDERS))),
        "clock": draw(st.sampled_from(CLOCKS)),
        "apart": draw(st.booleans()),
        "zone": draw(st.sampled_from(ZONES)),
        "zone_where": draw(st.sampled_from(list(IN_ZONE))),
        "unit": draw(st.sampled_from(list(UNITS))),
        "unit_where": unit_where,
        "name": draw(st.sampled_from(IN_UNIT[unit_where])),
        "beside": draw(st.sampled_from([None, "humidity", "spare", "dew", "alarm"])),
        "newest_first": draw(st.booleans()),
        "above": draw(st.lists(st.sampled_from(ABOVE), max_size=3)),
        "below": draw(st.lists(st.sampled_from(BELOW), max_size=2)),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])),
        "asked": draw(st.booleans()),
    }


def written(trace, form):
    """The file in a form, and the line and the true value of each reading."""
    delimiter, zone = form["delimiter"], ZoneInfo(form["zone"])
    lines = [text.format(delimiter) for text in form["above"]]
    if form["zone_where"] == "line above":
        lines.append(f"Time zone{delimiter}{form['zone']}")
    zone_name = " (UTC)" if form["zone_where"] == "name of column" and form["zone"] == "UTC" else ""
    times = [f"Date{zone_name}", f"Time{zone_name}"] if form["apart"] else [f"Date/Time{zone_name}"]
    names = [
        *times,
        form["name"].format(form["unit"]),
        *(["Unit"] if form["unit_where"] == "column beside" else []),
    ]
    names += {None: [], "humidity": ["RH (%)"], "spare": [""], "dew": ["DewPt"], "alarm": ["Alarm"]}[
        form["beside"]
    ]
    lines.append(delimiter.join(quoted(name, form) for name in names))
    if form["unit_where"] == "line below":
        lines.append(delimiter.join(["", *([""] if form["apart"] else []), f"°{form['unit']}"]))
    truth = {}
    for at, value in reversed(trace) if form["newest_first"] else trace:
        local = at.astimezone(zone)
        date = local.strftime(form["order"])
        clock = local.strftime(form["clock"])
        clock += local.strftime("%z") if form["zone_where"] == "each time" else ""
        cells = [date, clock.lstrip(" ,T")] if form["apart"] else [date + clock]
        cell, true = number(value, form)
        cells.append(cell)
        if form["unit_where"] == "column beside":
            cells.append(f"°{form['unit']}")
        cells += {None: [], "humidity": ["45"], "spare": [""], "dew": ["1"], "alarm": [""]}[form["beside"]]
        lines.append(delimiter.join(quoted(each, form) for each in cells))
        truth[len(lines)] = (at, true)
    lines += [text.format(delimiter) for text in form["below"]]
    return "\r\n".join(lines), truth


def quoted(cell, form):
    """A cell as it stands there; some writers forget that a comma of a number parts cells, too."""
    forgotten = re.fullmatch(r"[-+]?\d+,\d+", cell) is not None and not form["quoted"]
    return f'"{cell}"' if form["delimiter"] in cell and not forgotten else cell


def number(value, form):
    if isinstance(value, str):
        return (value if value != "> 150,0" or form["comma"] else "> 150.0"), None
    text = f"{UNITS[form['unit']](value / 100):.{form['decimals']}f}"
    if form["short"]:
        text = text.rstrip("0").rstrip(".")
    true = {"C": float(text), "F": (float(text) - 32) * 5 / 9, "K": float(text) - 273.15}[form["unit"]]
    cell = text.replace(".", ",") if form["comma"] else text
    return cell + (f" °{form['unit']}" if form["unit_where"] == "each cell" else ""), true


def choices(form):
    """What a person states who knows the file; or no more than what no file tells."""
    told = {"device_id": "LOG-1"}
    if form["zone_where"] == "stated" or form["asked"]:
        told["zone"] = ZoneInfo(form["zone"])
    if form["unit_where"] == "stated" or form["asked"]:
        told["unit"] = form["unit"]
    if form["asked"]:
        told |= ORDERS[form["order"]]
        told["decimal_comma"] = form["comma"]
    return Choices(**told)


def shows_its_halves(trace, form):
    """Whether a clock of twelve hours that says neither AM nor PM passes noon, as far as it can be seen."""
    local = [at.astimezone(ZoneInfo(form["zone"])) for at, _ in trace]
    shown = [datetime.strptime(at.strftime("%Y %j %I %M"), "%Y %j %I %M") for at in local]
    back = [before - after for before, after in pairwise(shown)]
    return len(back) > 3 and any(step >= timedelta(hours=6) for step in back)


def check(trace, form):
    if form["clock"].endswith("%I:%M:%S") and not shows_its_halves(trace, form):
        return False
    text, truth = written(trace, form)
    try:
        read = read_trace(text.encode(form["encoding"], errors="replace"), choices(form), NOW)
    except TraceRefusedError:
        return False
    told = {remark.line for remark in read.remarks if not remark.sent}
    for reading in read.readings:
        assert reading.line in truth, (text, reading)
        at, true = truth.pop(reading.line)
        assert reading.measured_at == at.replace(second=0), (text, reading, at)
        assert (reading.temperature_c is None) == (true is None), (text, reading, true)
        assert true is None or abs(reading.temperature_c - true) < 0.0011, (text, reading, true)
    assert set(truth) <= told, (text, truth)
    return True


@given(tables(), forms())
@settings(deadline=None)
def test_a_trace_is_read_as_it_was_meant_or_refused(trace, form):
    check(trace, form)


PLAIN = {
    "delimiter": ";", "comma": True, "quoted": False, "decimals": 2, "short": False, "order": "%d.%m.%Y", "clock": ", %H:%M",
    "apart": False, "zone": "Europe/Zurich", "zone_where": "stated", "unit": "C", "unit_where": "name of column",
    "name": "Temp (*{})", "beside": None, "newest_first": False, "above": [], "below": [], "encoding": "utf-8",
    "asked": False,
}  # fmt: skip


@given(
    tables().filter(lambda trace: len(trace) > 0),
    st.fixed_dictionaries(
        {
            "order": st.sampled_from([order for order in ORDERS if order != "%Y%m%d"]),
            "clock": st.sampled_from(CLOCKS[:4]),
            "comma": st.booleans(),
            "unit": st.sampled_from(list(UNITS)),
            "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]),
        }
    ),
)
@settings(deadline=None, max_examples=40)
def test_what_a_person_has_stated_is_not_asked_again(trace, parts):
    assert check(trace, PLAIN | parts | {"zone": "UTC", "asked": True})


@given(
    st.sampled_from(CLOCKS_CHANGE),
    st.sampled_from([5, 20, 30, 40, 60, 90, 120]),
    st.sampled_from(ZONES),
    st.booleans(),
)
@example(CLOCKS_CHANGE[0], 60, "Europe/Zurich", False)
@settings(deadline=None, max_examples=40)
def test_the_repeated_hour_of_a_whole_night_is_read(began, interval, zone, newest_first):
    trace = [(began + timedelta(minutes=interval * n), n) for n in range(12 * 60 // interval)]
    assert check(trace, PLAIN | {"zone": zone, "newest_first": newest_first})


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
HEADS = ["Time (UTC)", "Temp (°C)", "Probe 2 (K)", "Device", "°C", "Unit", "Date", "AM/PM"]
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
        trace = read_trace(content, Choices(device_id="LOG-1"), NOW)
    except TraceRefusedError:
        return
    assert trace.lines == len(trace.readings) + trace.unread
