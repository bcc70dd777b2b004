"""Validation of whole messages: the cases that the golden messages do not show."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.validate_message import (
    ValidatedMessage,
    combine_http_readings,
    validate_http_reading,
    validate_message,
)
from telemetry.model import ConnectionStatus, RawMessage, RefusalReason, Source

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KNOWN = {"LOG-1", "LOG-2"}


def by_mqtt(topic, payload):
    return validate_message(RawMessage(Source.MQTT, topic, payload, NOW), KNOWN)


def by_http(raws, speaks_for=None):
    message = RawMessage(Source.HTTP, "key", b"the body", NOW)
    return combine_http_readings(message, [validate_http_reading(raw, NOW) for raw in raws], speaks_for)


@pytest.mark.parametrize("payload", [b"x" * 2_000_000, b"[" * 2000])
def test_a_message_that_is_refused_whole(payload):
    validated = by_mqtt("dewar/v1/LOG-1/readings", payload)
    assert [(refusal.index, refusal.device_id) for refusal in validated.refusals] == [(None, "LOG-1")]
    assert validated.message.payload == payload


def test_one_bad_reading_among_999_good_ones():
    good = b'{"measured_at":%d,"temperature_c":1}'
    payload = b"[" + b",".join(good % at if at != 500 else b'{"seq":5}' for at in range(1000)) + b"]"
    validated = by_mqtt("dewar/v1/LOG-1/readings", payload)
    assert len(validated.readings) == len(validated.positions) == 999
    assert [(refusal.index, refusal.seq) for refusal in validated.refusals] == [(500, 5)]
    assert [validated.positions[499], validated.positions[500]] == [499, 501]


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b'{"state": "online", "at": 1795262400000}', ("online", NOW, NOW, NOW)),
        (b'{"state": "offline", "at": "2026-11-21T11:00:00Z"}', ("offline", NOW - HOUR, NOW - HOUR, NOW)),
        (b'{"state": "offline"}', ("offline", NOW, None, NOW)),
        (b'{"state": "online", "at": "2030-01-01T00:00:00Z"}', ("online", NOW, NOW, NOW)),
        (b'\xef\xbb\xbf{"state": "online"}\0', ("online", NOW, None, NOW)),
    ],
)
def test_a_status(payload, status):
    validated = by_mqtt("dewar/v1/LOG-1/status", payload)
    assert validated.status == ConnectionStatus("LOG-1", *status)
    assert not validated.refusals


@pytest.mark.parametrize(
    ("second", "counts"),
    [
        ({"said_at": NOW}, True),
        ({"said_at": NOW - 2 * HOUR}, False),
        ({"said_at": NOW - HOUR}, True),
        ({"said_at": NOW - HOUR, "received_at": NOW - HOUR}, False),  # as the broker had it
        ({"said_at": None}, True),
    ],
)
def test_a_status_that_says_an_older_time_does_not_count(second, counts):
    first = ConnectionStatus("LOG-1", "online", NOW - HOUR, NOW - HOUR, NOW - HOUR)
    after = ConnectionStatus("LOG-1", "offline", NOW, **{"received_at": NOW, **second})
    assert after.counts_after(first) is counts
    assert after.counts_after(first._replace(said_at=None))


@pytest.mark.parametrize(
    "payload",
    [b"{}", b'{"state": "away"}', b"[]", b'[{"state": "online"}]', b'{"state": "online", "at": "now"}', b"x"],
)
def test_an_invalid_status_is_refused(payload):
    validated = by_mqtt("dewar/v1/LOG-1/status", payload)
    assert validated.status is None
    assert len(validated.refusals) == 1


def test_a_deleted_retained_status_changes_nothing():
    validated = by_mqtt("dewar/v1/LOG-1/status", b"")
    assert (validated.status, validated.refusals) == (None, ())


def test_a_reading_without_a_byte_is_refused():
    (refusal,) = by_mqtt("dewar/v1/LOG-1/readings", b"").refusals
    assert refusal.reason == "not_json"


@pytest.mark.parametrize(
    ("kind", "payload", "status"),
    [
        ("readings", b'{"measured_at": 1795262400000, "temperature_c": 1}', None),
        ("readings", b"x", None),
        ("status", b'{"state": "online"}', None),
        ("status", b'{"state": "online", "at": "2030-01-01T00:00:00Z"}', None),
        (
            "status",
            b'{"state": "online", "at": "2026-11-21T11:00:00Z"}',
            ConnectionStatus("LOG-1", "online", *[NOW - HOUR] * 3),
        ),
    ],
)
def test_what_the_broker_retained_is_no_word_of_now(kind, payload, status):
    message = RawMessage(Source.MQTT, f"dewar/v1/LOG-1/{kind}", payload, NOW, is_replayed=True)
    validated = validate_message(message, KNOWN)
    assert isinstance(validated, ValidatedMessage)
    assert (validated.readings, validated.status, validated.refusals) == ((), status, ())


def test_by_http_each_reading_names_its_device():
    reading = {"measured_at": 0, "temperature_c": 1}
    validated = by_http(
        [
            {"device_id": "LOG-1", **reading},
            reading,
            {"device_id": "a/b", **reading},
            {"device_id": 5, **reading},
            5,
            {"device_id": "LOG-1", "measured_at": 0, "temperature_c": "NaN"},
        ]
    )
    assert [reading.device_id for reading in validated.readings] == ["LOG-1"]
    assert [(refusal.index, refusal.reason, refusal.detail) for refusal in validated.refusals] == [
        (1, RefusalReason.INVALID_READING, "device_id is missing"),
        (
            2,
            RefusalReason.UNKNOWN_DEVICE,
            '"a/b" is not a device id: use 1 to 64 characters of A-Z a-z 0-9 _ -',
        ),
        (3, RefusalReason.UNKNOWN_DEVICE, "5 is not a device id: use 1 to 64 characters of A-Z a-z 0-9 _ -"),
        (4, RefusalReason.INVALID_READING, "a reading must be an object, not 5"),
        (
            5,
            RefusalReason.INVALID_READING,
            'temperature_c is "NaN": it must be a number of °C, without quotes',
        ),
    ]


def test_only_who_speaks_for_a_logger_says_which_of_its_numbers_are_here():
    reading = {"measured_at": 0, "temperature_c": 1, "boot": 2}
    raws = [
        {"device_id": "LOG-1", **reading, "seq": 5},
        {"device_id": "LOG-2", **reading, "seq": 6},
        {"device_id": "LOG-1", **reading, "seq": 7, "temperature_c": "warm"},
        {"device_id": "LOG-1", **reading},
    ]
    assert list(by_http(raws).numbers()) == [("LOG-1", 2, 5), ("LOG-2", 2, 6), ("LOG-1", 2, 7)]
    assert list(by_http(raws, {"LOG-2"}).numbers()) == [("LOG-2", 2, 6)]
    assert list(by_http(raws, set()).numbers()) == []
