"""MQTT packets in a byte stream, whatever pieces it arrives in."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.mqtt.packets import MalformedPacketError, Packets, Publish, encode_pubacks, split_packets

PINGRESP = b"\xd0\x00"


def length(number):
    """Encode a variable byte integer."""
    out = bytearray()
    while True:
        number, byte = divmod(number, 128)
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def publish(topic, packet_id, payload, properties=b"", flags=0):
    body = struct.pack("!H", len(topic)) + topic
    if packet_id:
        body += struct.pack("!H", packet_id)
    if properties is not None:
        body += length(len(properties)) + properties
    return bytes([0x30 | (2 if packet_id else 0) | flags]) + length(len(body + payload)) + body + payload


def test_a_message_of_mqtt_5():
    data = publish(b"dewar/v1/a/readings", 258, b"{}", properties=b"\x01\x01", flags=0x09)
    assert split_packets(data, properties=True) == Packets(
        [Publish("dewar/v1/a/readings", 258, b"{}", is_replayed=True)], b"", len(data)
    )


def test_a_message_of_mqtt_3():
    data = publish(b"t", 1, b"\x00payload", properties=None)
    assert split_packets(data, properties=False).publishes == [Publish("t", 1, b"\x00payload")]


def test_a_message_that_wants_no_acknowledgement():
    assert split_packets(publish(b"t", 0, b""), properties=True).publishes == [Publish("t", 0, b"")]


def test_other_packets_are_left_whole():
    data = PINGRESP + publish(b"t", 1, b"x") + b"\x40\x02\x00\x05"
    assert split_packets(data, properties=True).others == PINGRESP + b"\x40\x02\x00\x05"


def test_a_topic_that_is_no_utf_8_is_made_legible():
    assert split_packets(publish(b"a\xff", 1, b""), properties=True).publishes[0].topic == "a\\xff"


@pytest.mark.parametrize(
    "data",
    [
        b"\x32\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x32\x05\x00\x09topi",  # a topic beyond the packet
        b"\x32\x03\x00\x01t",  # no packet id
        b"\x32\x06\x00\x01t\x00\x01\x05",  # properties beyond the packet
        b"\x30\x01\x00",
        b"\x32\x00",
    ],
)
def test_what_is_not_mqtt(data):
    with pytest.raises(MalformedPacketError):
        split_packets(data, properties=True)


@given(
    st.lists(
        st.builds(publish, st.binary(max_size=9), st.integers(0, 65535), st.binary(max_size=300))
        | st.just(PINGRESP),
        max_size=8,
    ),
    st.lists(st.integers(0, 2000)),
)
def test_the_way_a_stream_is_cut_changes_nothing(packets, cuts):
    stream = b"".join(packets)
    whole = split_packets(stream, properties=True)
    assert whole.size == len(stream)
    publishes, others, unread = [], b"", b""
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(edges):
        part = split_packets(unread + stream[start:end], properties=True)
        publishes += part.publishes
        others += part.others
        unread = (unread + stream[start:end])[part.size :]
    assert (publishes, others, unread) == (whole.publishes, whole.others, b"")


def test_acknowledgements():
    assert encode_pubacks([1, 258]) == b"\x40\x02\x00\x01\x40\x02\x01\x02"
    assert encode_pubacks([]) == b""
