"""A logger's CSV as messages, with numbers if asked for."""

from datetime import UTC, datetime

import orjson

from simulators.exports.choices import Choices
from simulators.exports.trace import read_trace
from simulators.instants import milliseconds
from simulators.replay.csv_messages import as_messages, numbered

AT = datetime(2026, 11, 21, 15, 45)
LOG = Choices(device_id="LOG-1")


def read(text, choices=LOG):
    return read_trace(text.encode(), choices)


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
