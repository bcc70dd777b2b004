"""Readings judged by columns and written for COPY: the same as when each is judged by itself."""

import json
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.ingest import validate_columns as columns
from telemetry.ingest.copy_batch import prepare_fresh
from telemetry.ingest.insert_batch import prepare
from telemetry.ingest.validate_message import Parcel, examine, examine_parcel, unpack
from telemetry.model import Message, Reading, Source

AT = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
NOW_MS = int(AT.timestamp() * 1000)
DEVICES = ("A", "LOG-1", "LOG-2", "x" * 64)
FLOATS = {
    name for name in Reading._fields if name.endswith(("_c", "_m", "_pct", "_deg", "_g", "_kg", "_hpa"))
}
FROM_2000 = datetime(2000, 1, 1, tzinfo=UTC)

edges = st.sampled_from(
    [
        0,
        1,
        -1,
        -0.0,
        0.1,
        90,
        90.1,
        -90,
        100,
        180,
        -180.5,
        2**53 - 1,
        2**53,
        2**63,
        2**70,
        5e-324,
        1.7e308,
        10**300,
    ]
)
texts = st.sampled_from(["", "1", "true", 'a"b', "a\\u0000", "é😀", "],["])
anything = st.one_of(
    st.none(), st.booleans(), edges, st.floats(), st.integers(), texts, st.just([]), st.just({})
)
instants = st.one_of(
    st.integers(NOW_MS - 5000, NOW_MS + 10),
    st.integers(NOW_MS + 299_998, NOW_MS + 300_002),
    st.sampled_from(["2026-11-21T03:44:59.123456Z", "2026-11-21t04:44:59+01:00", "2026-11-20T23:59:60Z"]),
    st.sampled_from([-1, 0, True, 1.5, None, "now", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", 10**18]),
)
usual = {
    "temperature_c": st.floats(-200, 50),
    "probe_ok": st.booleans(),
    "seq": st.integers(0, 50),
    "boot": st.integers(0, 2),
    "lat": st.floats(-90, 90),
    "lon": st.integers(-180, 180),
    "battery_pct": st.floats(0, 100),
    "lid_open": st.booleans(),
    "humidity_pct": st.integers(0, 100),
    "device_id": st.sampled_from(DEVICES),
    "flight_mode_until": instants,
    "firmware": texts,
}
NAMES = [*Reading._fields[2:-1], "device_id", "firmware"]


@st.composite
def readings(draw, names):
    """A reading with these fields, now and then with one that is odd, null, missing or not ours."""
    made = {
        "measured_at": draw(instants if draw(st.integers(0, 9)) == 0 else st.integers(NOW_MS - 5000, NOW_MS))
    }
    for name in names:
        made[name] = draw(usual.get(name, st.floats(0, 100)))
    if draw(st.integers(0, 9)) == 0:
        made[draw(st.sampled_from(NAMES))] = draw(anything)
    if draw(st.integers(0, 30)) == 0:
        return draw(anything)
    return made


@st.composite
def messages(draw):
    shapes = draw(
        st.lists(
            st.lists(st.sampled_from(NAMES), unique=True, max_size=8).map(
                lambda names: ["temperature_c", *names]
            ),
            min_size=1,
            max_size=2,
        )
    )
    made = []
    for number in range(draw(st.integers(1, 6))):
        items = draw(st.lists(readings(draw(st.sampled_from(shapes))), min_size=1, max_size=6))
        content = items if draw(st.booleans()) else items[0]
        topic = f"dewar/v1/{draw(st.sampled_from(DEVICES))}/readings"
        received_at = AT + timedelta(milliseconds=number)
        made.append(Message(Source.MQTT, topic, json.dumps(content).encode(), received_at))
    return made


@pytest.fixture(autouse=True, scope="module")
def _few():
    """Columns are made of any number of readings, and not of many."""
    before = columns.FEW, columns.LOT
    columns.FEW, columns.LOT = 1, 8
    yield
    columns.FEW, columns.LOT = before


def fresh_of(sent):
    """What is made ready, and how many messages were found good at once."""
    opened = [unpack(message, DEVICES) for message in sent]
    parcels = [one for one in opened if isinstance(one, Parcel)]
    judged = [columns.judge(lot) for lot in columns.lots(parcels)]
    good = iter([one for each in judged for one in each.good.tolist()])
    taken = [
        one
        if isinstance(one, Parcel) and next(good)
        else examine_parcel(one)
        if isinstance(one, Parcel)
        else one
        for one in opened
    ]
    if not any(one.size for one in taken):
        return None, 0
    return prepare_fresh(taken, judged), sum(int(each.good.sum()) for each in judged)


def copied(copy):
    """Reads what COPY would be given."""
    data, rows = copy.data, []
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at = 19
    while (count := struct.unpack_from(">h", data, at)[0]) != -1:
        assert count == len(copy.columns)
        at, row = at + 2, {}
        for name in copy.columns:
            (size,) = struct.unpack_from(">i", data, at)
            at += 4
            if size >= 0:
                row[name] = value_of(name, data[at : at + size])
                at += size
        rows.append(row)
    assert at + 2 == len(data)
    return rows


def value_of(name, data):
    if name in ("device_id", "source"):
        return data.decode()
    if name in ("probe_ok", "lid_open"):
        return struct.unpack(">?", data)[0]
    if name == "extra":
        assert data[:1] == b"\1"
        return data[1:].decode()
    if name in FLOATS | {"lat", "lon"}:
        return struct.unpack(">d", data)[0]
    (number,) = struct.unpack(">q", data)
    return number if name in ("seq", "boot") else FROM_2000 + timedelta(microseconds=number)


def expected_rows(examined):
    for one in examined:
        for reading in one.readings:
            row = {name: value for name, value in reading._asdict().items() if value is not None}
            row |= {name: float(value) for name, value in row.items() if name in FLOATS | {"lat", "lon"}}
            if "extra" in row:
                row["extra"] = json.loads(json.dumps(row["extra"]))
            yield row | {"received_at": one.message.received_at, "source": "mqtt"}


def as_set(rows):
    return Counter(repr(sorted(row.items())) for row in rows)


def columns_of(arrays):
    return [None if array is None else json.loads(f"[{array[1:-1]}]") for array in arrays]


def numbers_of(sequences):
    columns_ = columns_of(sequences)
    return {
        (device_id, boot, number)
        for device_id, boot, first, last in zip(*columns_, strict=True)
        for number in range(first, min(last, first + 100) + 1)
    }


@settings(max_examples=300, deadline=None)
@given(messages())
def test_the_same_readings_are_stored_and_the_same_is_refused(sent):
    fresh, _ = fresh_of(sent)
    examined = [examine(message, DEVICES) for message in sent]
    if fresh is None:
        assert not any(one.readings for one in examined)
        return
    rows = copied(fresh.copy)
    for row in rows:
        if "extra" in row:
            row["extra"] = json.loads(row["extra"])
    assert as_set(rows) == as_set(expected_rows(examined))
    assert fresh.size == sum(one.size for one in examined)
    assert [list(one.refused) for one in fresh.examined] == [list(one.refused) for one in examined]
    assert [one.size for one in fresh.examined] == [one.size for one in examined]


@settings(max_examples=300, deadline=None)
@given(messages())
def test_states_spans_and_numbers_are_the_same(sent):
    fresh, _ = fresh_of(sent)
    if fresh is None:
        return
    batch = prepare([examine(message, DEVICES) for message in sent])
    assert fresh.newest == batch.newest
    assert numbers_of(fresh.sequences) == numbers_of(batch.sequences)
    spans = {}
    for reading in batch.readings:
        first, last = spans.get(reading.device_id, (reading.measured_at, reading.measured_at))
        spans[reading.device_id] = (min(first, reading.measured_at), max(last, reading.measured_at))
    ids, firsts, lasts = columns_of(fresh.touched)
    assert ids == sorted(spans)
    assert [
        (datetime.fromisoformat(f), datetime.fromisoformat(t)) for f, t in zip(firsts, lasts, strict=True)
    ] == [spans[device_id] for device_id in ids]
    keys = [reading[:2] for reading in batch.readings]
    if len(set(keys)) == len(
        keys
    ):  # which of two at one instant is the newest matters to nobody: they are not new
        assert fresh.states == batch.states


def test_what_loggers_usually_send_is_judged_at_once():
    def message(device_id, *items):
        return Message(Source.MQTT, f"dewar/v1/{device_id}/readings", json.dumps(items).encode(), AT)

    cold = {
        "measured_at": NOW_MS,
        "temperature_c": -185,
        "seq": 1,
        "boot": 0,
        "lat": 1.5,
        "lon": 2,
        "battery_pct": None,
    }
    fresh, at_once = fresh_of(
        [
            message("A", cold, {"temperature_c": -1.5, "measured_at": "2026-11-21T03:44:00Z"}),
            message("LOG-1", {**cold, "device_id": "LOG-1", "battery_pct": 7}),
            message("LOG-2", {"measured_at": NOW_MS, "probe_ok": False, "temperature_c": None}),
        ]
    )
    assert at_once == 3
    assert fresh.size == 4


@pytest.mark.parametrize(
    "odd",
    [
        {"temperature_c": "-185"},
        {"temperature_c": True},
        {"temperature_c": None},
        {"lat": 91},
        {"lat": 1},
        {"seq": 1.0},
        {"seq": -1},
        {"device_id": "LOG-1"},
        {"measured_at": NOW_MS + 300_001},
        {"measured_at": True},
        {"firmware": "1.2"},
        {"flight_mode_until": "2026-11-22T00:00:00Z"},
    ],
)
def test_a_message_with_anything_unusual_is_examined_by_itself_and_no_other(odd):
    good = {"measured_at": NOW_MS, "temperature_c": -185, "seq": 1}
    contents = [[good], [good, good | {"measured_at": NOW_MS - 1}, good | odd], [good]]
    sent = [
        Message(Source.MQTT, "dewar/v1/A/readings", json.dumps(content).encode(), AT) for content in contents
    ]
    judged = columns.judge([unpack(message, DEVICES) for message in sent])
    assert judged.good.tolist() == [True, False, True]
