"""Every kind of bad message, through the broker to the running service: refused with its reason, kept, and no harm to the rest."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
import pytest

from tests.acceptance.command import embedded_urls, eventually, items
from tests.acceptance.logger import Link

NOW = datetime.now(UTC)
AT = (NOW - timedelta(hours=2)).isoformat()


def reading(**fields: object) -> bytes:
    return orjson.dumps({"measured_at": AT, "temperature_c": -180.0} | fields)


def raw(temperature: str) -> bytes:
    return f'{{"measured_at": "{AT}", "temperature_c": {temperature}}}'.encode()


class Bad(NamedTuple):
    payload: bytes
    reason: str
    says: str
    device_id: str = "{}"


BAD = {
    "unknown device": Bad(reading(), "unknown_device", "", "never-registered"),
    "broken JSON": Bad(b'{"measured_at": ', "not_json", "is not JSON"),
    "nothing": Bad(b"", "not_json", "is empty"),
    "not UTF-8": Bad(b'{"\xff": 1}', "not_json", "is not UTF-8"),
    "nested to the sky": Bad(b"[" * 60_000, "not_json", ""),
    "NaN": Bad(raw("NaN"), "invalid_reading", "temperature_c is not a finite number"),
    "1e999": Bad(raw("1e999"), "invalid_reading", "temperature_c is not a finite number"),
    "a string for a number": Bad(raw('"-180.0"'), "invalid_reading", "without quotes"),
    "a bool for a number": Bad(raw("true"), "invalid_reading", "temperature_c is true"),
    "2^64 for a counter": Bad(reading(seq=2**64 - 1), "invalid_reading", "seq is 18446744073709551615"),
    "no time": Bad(b'{"temperature_c": -180}', "invalid_reading", "measured_at is missing"),
    "no offset": Bad(reading(measured_at="2026-01-01T00:00:00"), "invalid_reading", "with its offset"),
    "no temperature": Bad(reading(temperature_c=None), "invalid_reading", "temperature_c is missing"),
    "what a database cannot store": Bad(reading(note="a\0b"), "invalid_reading", "U+0000"),
    "a bare number": Bad(b"17", "invalid_reading", "a reading must be an object"),
    "an empty array": Bad(b"[]", "invalid_reading", "an array of 0 readings"),
    "1001 readings": Bad(
        b"[" + b",".join([b"{}"] * 1001) + b"]", "invalid_reading", "an array of 1001 readings"
    ),
    "a body of 70 kB": Bad(reading(note="x" * 70_000), "too_large", "70"),
    "a far future": Bad(reading(measured_at="2099-01-01T00:00:00Z"), "clock_ahead", "measured_at is"),
    "a future beyond all times": Bad(reading(measured_at=10**17), "clock_ahead", "measured_at is"),
    "another device": Bad(reading(device_id="somebody-else"), "device_mismatch", "somebody-else"),
    "a device id with a slash": Bad(reading(), "unknown_device", "", "a/b"),
    "a device id of 300 characters": Bad(reading(), "unknown_device", "", "d" * 300),
}


@pytest.fixture(scope="module")
def broker(embedded, embedded_data):
    """A way past the loggers' own rights: the service's account may publish for anybody."""
    with Link(embedded_urls(embedded_data)[1]) as link:
        link.until(lambda: link.connected is not None)
        assert not link.subscribe("dewar/v1/+/ack").is_failure
        yield link


@pytest.fixture
def device(embedded, request):
    """A logger for this test alone, on a shipment of its own; and a caller who may see what is refused."""
    device_id = f"d-{abs(hash(request.node.name)):x}"
    with embedded.client() as ops:
        assert ops.post("/v1/devices", json={"device_id": device_id}).is_success
        departed_at = (NOW - timedelta(days=2)).isoformat()
        body = {
            "shipment_id": device_id,
            "band": "cryogenic",
            "device_ids": [device_id],
            "departed_at": departed_at,
        }
        assert ops.post("/v1/shipments", json=body).is_success
        yield device_id, ops


def refused(ops, broker_topic, reason):
    """The refusals of that reason which came by that topic."""
    return [each for each in items(ops, "/v1/rejected", reason=reason) if each["topic"] == broker_topic[:256]]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_it_is_refused_kept_and_costs_nothing(broker, device, bad):
    device_id, ops = device
    topic = f"dewar/v1/{bad.device_id.format(device_id)}/readings"
    assert not broker.publish(topic, bad.payload).is_failure
    broker.publish(f"dewar/v1/{device_id}/readings", reading(seq=0))
    broker.acknowledged(device_id, 0, 0)

    (kept,) = refused(ops, topic, bad.reason)
    assert bad.says in kept["detail"]
    assert kept["source"] == "mqtt"
    whole = ops.get(f"/v1/rejected/{kept['id']}").json()
    assert base64.b64decode(whole["payload_base64"]) == bad.payload[:4096]  # the first of it, and its hash
    assert whole["payload_sha256"] == hashlib.sha256(bad.payload).hexdigest()
    assert kept["payload_bytes"] == len(bad.payload)
    trace = items(ops, f"/v1/shipments/{device_id}/readings")
    assert [each["temperature_c"] for each in trace] == [-180.0]


def test_one_bad_reading_among_999_good_ones_is_refused_alone(broker, device):
    device_id, ops = device
    readings = [
        {
            "seq": seq,
            "measured_at": (NOW - timedelta(minutes=1000 - seq)).isoformat(),
            "temperature_c": -180.0,
        }
        for seq in range(1000)
    ]
    readings[500]["temperature_c"] = "-180.0"
    topic = f"dewar/v1/{device_id}/readings"
    broker.publish(topic, readings)
    # What is refused is dealt with, too: the logger need not send it again.
    assert broker.acknowledged(device_id, 0, 999)["missing"] == []
    (kept,) = refused(ops, topic, "invalid_reading")
    assert kept["index"] == 500
    assert "without quotes" in kept["detail"]
    whole = ops.get(f"/v1/rejected/{kept['id']}").json()
    assert len(base64.b64decode(whole["payload_base64"])) == 4096
    trace = items(ops, f"/v1/shipments/{device_id}/readings")
    assert [each["seq"] for each in trace] == [seq for seq in range(1000) if seq != 500]


def test_the_first_of_two_contradicting_readings_stays(broker, device):
    device_id, ops = device
    topic = f"dewar/v1/{device_id}/readings"
    broker.publish(topic, reading(seq=0))
    broker.publish(topic, reading(seq=0))
    broker.publish(topic, reading(seq=0, temperature_c=20.0))
    (kept,) = eventually(lambda: refused(ops, topic, "conflict"), 60, "the conflict is kept")
    assert "temperature_c is 20.0 but -180.0 is stored" in kept["detail"]
    trace = items(ops, f"/v1/shipments/{device_id}/readings")
    assert [each["temperature_c"] for each in trace] == [-180.0]


def test_refusals_are_counted_by_reason(embedded, broker, device):
    device_id, ops = device
    broker.publish(f"dewar/v1/{device_id}/readings", b"{")
    eventually(lambda: refused(ops, f"dewar/v1/{device_id}/readings", "not_json"), 60, "it is kept")
    assert 'reason="not_json"' in ops.get("/metrics").text
