"""Readings validated by columns and encoded for COPY: the same result as validating each reading by itself."""

import json
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.ingest import validate_columns
from telemetry.ingest.copy_batch import prepare_copy
from telemetry.ingest.insert_batch import prepare_insert
from telemetry.ingest.validate_message import ParsedMessage, parse_message, validate_message, validate_parsed
from telemetry.model import RawMessage, Reading, Source

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
    "lat": st.floats(-90, 90) | st.just(0.0),
    "lon": st.integers(-180, 180) | st.just(0),
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
    """A reading with these fields; now and then one of them is odd, null, missing or unknown."""
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
        made.append(RawMessage(Source.MQTT, topic, json.dumps(content).encode(), received_at))
    return made


@pytest.fixture(autouse=True, scope="module")
def _small_groups():
    """Validate groups of any size by columns, in small chunks."""
    before = validate_columns.MIN_GROUP, validate_columns.CHUNK_READINGS
    validate_columns.MIN_GROUP, validate_columns.CHUNK_READINGS = 1, 8
    yield
    validate_columns.MIN_GROUP, validate_columns.CHUNK_READINGS = before


def copy_batch_of(sent):
    """The batch, and how many of its messages were found valid by columns."""
    parsed = [parse_message(message, DEVICES) for message in sent]
    unvalidated = [one for one in parsed if isinstance(one, ParsedMessage)]
    columns = [validate_columns.validate_columns(chunk) for chunk in validate_columns.chunks(unvalidated)]
    valid = iter([one for chunk in columns for one in chunk.valid.tolist()])
    messages = [
        one
        if isinstance(one, ParsedMessage) and next(valid)
        else validate_parsed(one)
        if isinstance(one, ParsedMessage)
        else one
        for one in parsed
    ]
    if not any(one.size for one in messages):
        return None, 0
    return prepare_copy(messages, columns), sum(int(chunk.valid.sum()) for chunk in columns)


def decode_copy(copy):
    """Decode the data of a COPY into rows."""
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
    if name in ("device_id", "source", "author"):
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


def expected_rows(messages):
    for one in messages:
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
    batch, _ = copy_batch_of(sent)
    messages = [validate_message(message, DEVICES) for message in sent]
    if batch is None:
        assert not any(one.readings for one in messages)
        return
    rows = decode_copy(batch.copy)
    for row in rows:
        if "extra" in row:
            row["extra"] = json.loads(row["extra"])
    assert as_set(rows) == as_set(expected_rows(messages))
    assert batch.size == sum(one.size for one in messages)
    assert [list(one.refusals) for one in batch.messages] == [list(one.refusals) for one in messages]
    assert [one.size for one in batch.messages] == [one.size for one in messages]


@settings(max_examples=300, deadline=None)
@given(messages())
def test_states_spans_and_numbers_are_the_same(sent):
    copied, _ = copy_batch_of(sent)
    if copied is None:
        return
    batch = prepare_insert([validate_message(message, DEVICES) for message in sent])
    assert copied.newest == batch.newest
    assert numbers_of(copied.sequences) == numbers_of(batch.sequences)
    spans = {}
    for reading in batch.readings:
        first, last = spans.get(reading.device_id, (reading.measured_at, reading.measured_at))
        spans[reading.device_id] = (min(first, reading.measured_at), max(last, reading.measured_at))
    ids, firsts, lasts = columns_of(copied.spans)
    assert ids == sorted(spans)
    assert [
        (datetime.fromisoformat(f), datetime.fromisoformat(t)) for f, t in zip(firsts, lasts, strict=True)
    ] == [spans[device_id] for device_id in ids]
    keys = [reading[:2] for reading in batch.readings]
    if len(set(keys)) == len(keys):  # of two at one instant either may be the newest: they are not new
        assert copied.states == batch.states


def test_what_loggers_usually_send_is_validated_by_columns():
    def message(device_id, *items):
        return RawMessage(Source.MQTT, f"dewar/v1/{device_id}/readings", json.dumps(items).encode(), AT)

    cold = {
        "measured_at": NOW_MS,
        "temperature_c": -185,
        "seq": 1,
        "boot": 0,
        "lat": 1.5,
        "lon": 2,
        "battery_pct": None,
    }
    batch, by_columns = copy_batch_of(
        [
            message("A", cold, {"temperature_c": -1.5, "measured_at": "2026-11-21T03:44:00Z"}),
            message("LOG-1", {**cold, "device_id": "LOG-1", "battery_pct": 7}),
            message("LOG-2", {"measured_at": NOW_MS, "probe_ok": False, "temperature_c": None}),
        ]
    )
    assert by_columns == 3
    assert batch.size == 4


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
def test_a_message_with_anything_unusual_is_validated_by_itself_and_no_other(odd):
    good = {"measured_at": NOW_MS, "temperature_c": -185, "seq": 1}
    contents = [[good], [good, good | {"measured_at": NOW_MS - 1}, good | odd], [good]]
    sent = [
        RawMessage(Source.MQTT, "dewar/v1/A/readings", json.dumps(content).encode(), AT)
        for content in contents
    ]
    columns = validate_columns.validate_columns([parse_message(message, DEVICES) for message in sent])
    assert columns.valid.tolist() == [True, False, True]
