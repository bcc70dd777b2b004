"""Who floods the service, and who only has much to say."""

import gzip
import json
import random
from datetime import UTC, datetime

import pytest

from telemetry.ingest.decode import MAX_BYTES, MAX_PARSED_BYTES, decode
from telemetry.ingest.validate_message import ValidatedMessage
from telemetry.model import RawMessage, Refusal, RefusalReason, Source
from telemetry.mqtt.flood import ALLOWANCES, FloodReason, FloodWatch, is_surely_refused, repeated, weight
from telemetry.mqtt.guard import Guard

GARBAGE, REPETITION, VOLUME = FloodReason
KB, MB = 2**10, 2**20


@pytest.mark.parametrize(
    ("reason", "messages", "size", "each_s", "flood"),
    [
        (GARBAGE, 100, 1_040_000, 0.001, True),
        (GARBAGE, 10_000, 50, 0.001, True),
        (GARBAGE, 10_000, 300, 10, False),  # broken firmware, all day
        (GARBAGE, 100, 60_000, 60, False),
        (
            REPETITION,
            52_000,
            250,
            0.002,
            False,
        ),  # all that was sent again and again in twelve hours of outage
        (REPETITION, 100_000, 250, 0.001, True),
        (REPETITION, 1000, 100_000, 0.001, True),
        (VOLUME, 243, 250_000, 0.001, False),  # four weeks at one reading each ten seconds, at once
        (VOLUME, 40_320, 250, 0.0001, False),
        (VOLUME, 1000, 1_000_000, 0.01, True),
        (VOLUME, 86_400 * 3, 250, 1, False),
    ],
)
def test_what_is_a_flood(reason, messages, size, each_s, flood):
    watch = FloodWatch()
    found = [
        watch.is_flood(reason, "L", messages=1, size=size, now=number * each_s) for number in range(messages)
    ]
    assert any(found) is flood


def test_each_logger_and_each_reason_counts_alone():
    watch = FloodWatch()
    allowed = ALLOWANCES[GARBAGE]
    for device_id in "AB":
        for reason in (GARBAGE, REPETITION):
            assert not watch.is_flood(reason, device_id, messages=allowed.messages, size=0, now=0)
    assert watch.is_flood(GARBAGE, "A", messages=1, size=0, now=0)
    assert not watch.is_flood(GARBAGE, "A", messages=allowed.messages, size=0, now=0)  # anew after a verdict
    assert not watch.is_flood(REPETITION, "B", messages=1, size=0, now=0)


def test_what_is_forgiven_is_forgotten():
    watch = FloodWatch()
    for number in range(1000):
        watch.is_flood(GARBAGE, f"L{number}", messages=20, size=0, now=0)
    watch.sweep(0.9)
    assert len(watch) == 1000
    watch.sweep(1.1)
    assert len(watch) == 0


def test_a_clock_that_stands_still_or_goes_back_forgives_nothing():
    watch = FloodWatch()
    allowed = ALLOWANCES[GARBAGE]
    assert not watch.is_flood(GARBAGE, "L", messages=allowed.messages, size=0, now=10)
    assert watch.is_flood(GARBAGE, "L", messages=1, size=0, now=5)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x" * MAX_BYTES,
        b"["
        + b",".join([b'{"measured_at": 1, "temperature_c": 1, "note": "%s"}' % (b"x" * 900)] * 500)
        + b"]",
        b'[{"\\u006deasured_at": 1, "temperature_c": 1}' + b" " * MAX_BYTES + b"]",
        b"x" * (MAX_BYTES + 1),
        b"x" * MAX_PARSED_BYTES,
        b"[" * (MAX_PARSED_BYTES + 1),
        b'{"measured_at": 1, "note": "' + b"x" * MAX_BYTES + b'"}',
    ],
    ids=len,
)
def test_a_glance_condemns_nothing_that_would_be_accepted(payload):
    if is_surely_refused(payload):
        assert isinstance(decode(payload), Refusal)
    elif len(payload) > MAX_BYTES:
        assert b"measured_at" in payload or b"\\" in payload


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [((1, 0, 0), 0), ((0, 0, 1), 0), ((0, 4, 0), 1), ((1, 1, 2), 0.25), ((0, 0, 0), 1)],
)
def test_how_much_of_a_message_is_repetition(outcome, expected):
    assert repeated(*outcome) == expected


def test_what_is_packed_weighs_what_is_in_it():
    items = [{"measured_at": 1_795_232_700_000 + n, "temperature_c": 4.5} for n in range(1000)]
    packed = gzip.compress(json.dumps(items).encode())
    assert len(packed) < 10_000
    assert weight(packed, 1000) > 200_000
    assert weight(packed, 1, is_too_large=True) == MAX_PARSED_BYTES
    assert weight(b"x" * 500, 1) == 500
    noise = gzip.compress(random.Random(1).randbytes(MAX_BYTES + 1))
    assert not is_surely_refused(noise)


def test_a_buffer_that_is_refused_for_its_clock_is_no_garbage():
    message = RawMessage(Source.MQTT, "dewar/v1/L/readings", b"{}", datetime(2026, 11, 30, tzinfo=UTC))

    def seen(reason):
        guard = Guard(None, None)
        refused = ValidatedMessage(message, refusals=[Refusal(reason=reason, detail="")])
        return guard.see_validated([refused] * 10_000)

    assert seen(RefusalReason.INVALID_READING)
    assert not seen(RefusalReason.CLOCK_BEHIND)
