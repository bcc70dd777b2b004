"""Decoding of payloads: what is let through, what is refused, and that nothing raises."""

import gzip
import json
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.ingest.decode import (
    MAX_BYTES,
    MAX_PARSED_BYTES,
    DecodedPayload,
    decode,
    parse_json,
    parse_topic,
)
from telemetry.model import Refusal, RefusalReason


def refused(payload):
    answer = decode(payload)
    assert isinstance(answer, Refusal)
    return answer.reason, answer.detail


def array_of(count, size):
    """Encode `count` readings of `size` bytes, their commas included."""
    return b"[" + b",".join([b'{"a":"' + b"x" * (size - 9) + b'"}'] * count) + b"]"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("dewar/v1/LOG-1/readings", ("LOG-1", "readings")),
        ("dewar/v1/LOG-1/status", ("LOG-1", "status")),
        ("dewar/v1/a/b/readings", ("a/b", "readings")),
        ("dewar/v1//readings", ("", "readings")),
    ],
)
def test_the_topic_names_the_device(topic, expected):
    assert parse_topic(topic) == expected


def test_one_reading_or_an_array():
    assert decode(b'{"seq": 1}') == DecodedPayload([{"seq": 1}], is_array=False, suspect=False)
    assert decode(b'[{"seq": 1}, 5]') == DecodedPayload([{"seq": 1}, 5], is_array=True, suspect=False)


@pytest.mark.parametrize("payload", [b"NaN", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}'])
def test_what_is_no_number_is_left_to_the_reading_it_is_in(payload):
    decoded = decode(payload)
    assert isinstance(decoded, DecodedPayload)
    assert decoded.suspect


def test_an_integer_beyond_64_bits_stays_exact():
    assert decode(b'{"serial": 18446744073709551617}').items == [{"serial": 2**64 + 1}]
    assert decode(b'{"serial": -9223372036854775809}').items == [{"serial": -(2**63) - 1}]


def test_an_integer_beyond_all_floats_is_infinite_and_costs_no_time():
    assert decode(b"[" + b"9" * 60_000 + b"]").items == [math.inf]
    assert decode(b"[-" + b"9" * 60_000 + b"]").items == [-math.inf]


def test_an_escaped_character_makes_a_message_suspect():
    assert decode(b'{"a": "\\u0000"}').suspect
    assert decode(b'{"a": "\\ud800"}').suspect


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b"", "the message is empty"),
        (b"hello", "the message is not JSON: Expecting value, line 1 column 1"),
        (b'{"temperature_c": -178.2', "the message is not JSON: Expecting ',' delimiter, line 1 column 25"),
        (b'{"a": 01}', "the message is not JSON: Expecting ',' delimiter, line 1 column 8"),
        (b'{"a": "\xff"}', "the message is not UTF-8: invalid start byte at byte 7"),
        (b"[" * 5000 + b"]" * 5000, "the message is nested too deeply"),
    ],
)
def test_what_nobody_can_parse(payload, detail):
    assert refused(payload) == (RefusalReason.NOT_JSON, detail)


@pytest.mark.parametrize("count", [0, 1001])
def test_an_array_has_1_to_1000_readings(count):
    reason, detail = refused(b"[" + b",".join([b"{}"] * count) + b"]")
    assert reason is RefusalReason.INVALID_READING
    assert detail == f"an array of {count} readings was sent: 1 to 1000 are allowed"


def test_a_message_may_have_64_kib():
    at_the_limit = b'{"a":"' + b"x" * (MAX_BYTES - 8) + b'"}'
    assert isinstance(decode(at_the_limit), DecodedPayload)
    assert refused(at_the_limit + b" ") == (
        RefusalReason.TOO_LARGE,
        "the message has 65537 bytes: the limit is 65536 bytes, or 1024 for each reading of an array",
    )


def test_an_array_may_have_1_kib_for_each_reading():
    assert isinstance(decode(array_of(1000, 1023)), DecodedPayload)
    assert refused(array_of(100, 1025))[0] is RefusalReason.TOO_LARGE


@pytest.mark.parametrize("payload", [b"x" * (MAX_BYTES + 1), b"[" + b" " * MAX_PARSED_BYTES + b"{}]"])
def test_what_is_too_large_is_called_so_whatever_is_in_it(payload):
    assert refused(payload)[0] is RefusalReason.TOO_LARGE


@given(st.binary(max_size=300))
def test_no_bytes_raise(payload):
    assert isinstance(decode(payload), DecodedPayload | Refusal)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=20)
)
def test_whatever_json_can_say_is_read_as_json_reads_it(value):
    text = json.dumps([value])
    assert repr(decode(text.encode()).items) == repr(json.loads(text))


BOM = b"\xef\xbb\xbf"
PLAIN = b'{"seq": 1}'


@pytest.mark.parametrize(
    "payload",
    [
        BOM + PLAIN,
        PLAIN + b"\0",
        PLAIN + b"\0" * 200,
        BOM + PLAIN + b"\r\n\0",
        gzip.compress(PLAIN, mtime=0),
        gzip.compress(BOM + PLAIN + b"\0", mtime=0) + b"\0\0",
    ],
)
def test_what_firmware_puts_around_a_message_is_taken_off(payload):
    assert decode(payload) == DecodedPayload([{"seq": 1}], is_array=False, suspect=False)
    assert parse_json(payload) == ({"seq": 1}, False)


@pytest.mark.parametrize(
    ("payload", "reason", "says"),
    [
        (gzip.compress(PLAIN, mtime=0)[:-4], "not_json", "its end is missing"),
        (gzip.compress(PLAIN, mtime=0)[:12], "not_json", "its end is missing"),
        (b"\x1f\x8b" + b"x" * 50, "not_json", "cannot be unpacked"),
        (gzip.compress(PLAIN, mtime=0) * 2, "not_json", "goes on after the end of its gzip"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "not_json", "is not UTF-8"),
        (gzip.compress(b"", mtime=0), "not_json", "is empty"),
        (
            gzip.compress(b'{"a":"' + b"x" * 70_000 + b'"}', mtime=0),
            "too_large",
            "the message has 70008 bytes:",
        ),
        (b"\0\0", "not_json", "is empty"),
        (BOM, "not_json", "is empty"),
        (b"\0" + PLAIN, "not_json", "is not JSON"),
    ],
)
def test_what_cannot_be_unwrapped_is_refused(payload, reason, says):
    found = refused(payload)
    assert found[0] == reason
    assert says in found[1]


def test_no_bomb_is_unpacked_beyond_what_a_message_may_have():
    bomb = gzip.compress(b"[" + b" " * 200_000_000 + b"{}]", 1, mtime=0)
    assert len(bomb) < MAX_PARSED_BYTES
    tracemalloc.start()
    assert refused(bomb)[0] is RefusalReason.TOO_LARGE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MAX_PARSED_BYTES


def test_a_packed_array_may_have_as_much_as_one_that_is_not():
    whole = array_of(1000, 1023)
    assert decode(gzip.compress(whole, mtime=0)) == decode(whole)
