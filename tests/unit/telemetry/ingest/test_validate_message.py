"""A message to what of it can be stored: the parts that the golden messages do not show."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.validate_message import examine, examine_many, named_device
from telemetry.model import Message, RefusalReason, Source, Status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KNOWN = {"LOG-1", "LOG-2"}


def by_mqtt(topic, payload):
    return examine(Message(Source.MQTT, topic, payload, NOW), KNOWN)


def by_http(raws, allowed=lambda _: True):
    return examine_many(Message(Source.HTTP, "key", b"the body", NOW), raws, KNOWN, allowed)


@pytest.mark.parametrize("payload", [b"x" * 2_000_000, b"[" * 2000])
def test_a_message_that_is_refused_whole(payload):
    examined = by_mqtt("dewar/v1/LOG-1/readings", payload)
    assert [(refused.index, refused.device_id) for refused in examined.refused] == [(None, "LOG-1")]
    assert examined.message.payload == payload


def test_one_bad_reading_among_999_good_ones():
    good = b'{"measured_at":%d,"temperature_c":1}'
    payload = b"[" + b",".join(good % at if at != 500 else b'{"seq":5}' for at in range(1000)) + b"]"
    examined = by_mqtt("dewar/v1/LOG-1/readings", payload)
    assert len(examined.readings) == len(examined.places) == 999
    assert [(refused.index, refused.seq) for refused in examined.refused] == [(500, 5)]
    assert [examined.places[499], examined.places[500]] == [499, 501]


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b'{"state": "online", "at": 1795262400000}', Status("LOG-1", "online", NOW)),
        (
            b'{"state": "offline", "at": "2026-11-21T11:00:00Z"}',
            Status("LOG-1", "offline", NOW - timedelta(hours=1)),
        ),
        (b'{"state": "offline"}', Status("LOG-1", "offline", NOW)),
        (b'{"state": "online", "at": "2030-01-01T00:00:00Z"}', Status("LOG-1", "online", NOW)),
    ],
)
def test_a_status(payload, status):
    examined = by_mqtt("dewar/v1/LOG-1/status", payload)
    assert examined.status == status
    assert not examined.refused


@pytest.mark.parametrize(
    "payload",
    [b"{}", b'{"state": "away"}', b"[]", b'[{"state": "online"}]', b'{"state": "online", "at": "now"}', b"x"],
)
def test_what_is_no_status_is_kept_as_evidence(payload):
    examined = by_mqtt("dewar/v1/LOG-1/status", payload)
    assert examined.status is None
    assert len(examined.refused) == 1


def test_a_retained_status_that_is_taken_back_says_nothing():
    examined = by_mqtt("dewar/v1/LOG-1/status", b"")
    assert (examined.status, examined.refused) == (None, ())


def test_by_http_each_reading_names_its_device():
    reading = {"measured_at": 0, "temperature_c": 1}
    examined = by_http(
        [
            {"device_id": "LOG-1", **reading},
            reading,
            {"device_id": "LOG-9", **reading},
            {"device_id": "LOG-2", **reading},
            {"device_id": "a/b", **reading},
            {"device_id": 5, **reading},
            5,
            {"device_id": "LOG-1", "measured_at": 0, "temperature_c": float("nan")},
        ],
        allowed=lambda device_id: device_id != "LOG-2",
    )
    assert [reading.device_id for reading in examined.readings] == ["LOG-1"]
    assert [(refused.index, refused.reason, refused.detail) for refused in examined.refused] == [
        (1, RefusalReason.INVALID_READING, "device_id is missing"),
        (
            2,
            RefusalReason.UNKNOWN_DEVICE,
            "LOG-9 is not a device that we know: register it with POST /v1/devices",
        ),
        (
            3,
            RefusalReason.UNKNOWN_DEVICE,
            "LOG-2 is not a device that we know: register it with POST /v1/devices",
        ),
        (4, RefusalReason.UNKNOWN_DEVICE, '"a/b" is no device id: 1 to 64 of A-Z a-z 0-9 _ - are needed'),
        (5, RefusalReason.UNKNOWN_DEVICE, "5 is no device id: 1 to 64 of A-Z a-z 0-9 _ - are needed"),
        (6, RefusalReason.INVALID_READING, "a reading is an object, not 5"),
        (
            7,
            RefusalReason.INVALID_READING,
            "temperature_c is not a finite number: NaN was sent, a number of °C is needed",
        ),
    ]


@pytest.mark.parametrize("raw", [5, {}, {"device_id": None}, {"device_id": "a b"}, {"device_id": ["LOG-1"]}])
def test_what_names_no_device(raw):
    assert named_device(raw) is None
