"""Pure: MQTT packets in a byte stream: PUBLISH is parsed, other packets are left whole (MQTT 5.0, 2.1 and 3.3)."""

from collections.abc import Iterable
from typing import NamedTuple

PUBLISH, PUBACK = 0x30, 0x40
_MAX_LENGTH_BYTES = 4
_RETAIN = 0x01


class MalformedPacketError(Exception):
    """The stream is not MQTT, so nothing after this point can be trusted."""


class Publish(NamedTuple):
    """A message from the broker; `packet_id` is 0 if no acknowledgement is expected."""

    topic: str
    packet_id: int
    payload: bytes
    is_replayed: bool = False
    """Whether the broker had retained it, and says it again to a new subscription: nobody sends it now."""


class Packets(NamedTuple):
    """The complete packets at the start of a buffer."""

    publishes: list[Publish]
    others: bytes
    size: int
    """How many bytes of the buffer they take up."""
    awaited: int = 0
    """The size of the packet that follows, of which only the start is there; 0 if it is not known."""


def split_packets(data: bytes | bytearray, *, properties: bool) -> Packets:
    """Split off the complete packets at the start of `data`; `properties` is whether PUBLISH has some, as in MQTT 5."""
    publishes: list[Publish] = []
    others: list[bytes] = []
    start, awaited = 0, 0
    while (length := _variable_integer(data, start + 1)) is not None:
        size, body = length
        end = body + size
        if end > len(data):
            awaited = end - start
            break
        if data[start] & 0xF0 == PUBLISH:
            publishes.append(_parse_publish(data, start, body, end, properties=properties))
        else:
            others.append(bytes(data[start:end]))
        start = end
    return Packets(publishes, b"".join(others), start, awaited)


def encode_pubacks(packet_ids: Iterable[int]) -> bytes:
    """Encode an acknowledgement of success for each message."""
    return b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])


def _parse_publish(data: bytes | bytearray, start: int, body: int, end: int, *, properties: bool) -> Publish:
    at = body + 2
    topic_end = at + int.from_bytes(data[body:at], "big")
    topic = data[at:topic_end].decode(errors="backslashreplace")
    packet_id, at = 0, topic_end
    if data[start] & 0x06:
        at += 2
        packet_id = int.from_bytes(data[topic_end:at], "big")
    if properties:
        length = _variable_integer(data, at)
        at = sum(length) if length else end + 1
    if at > end:
        raise MalformedPacketError("a PUBLISH packet ends within its header")
    return Publish(topic, packet_id, bytes(data[at:end]), bool(data[start] & _RETAIN))


def _variable_integer(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Return a number of one to four bytes and the offset after it; None if the data ends first."""
    value = 0
    for position in range(_MAX_LENGTH_BYTES):
        if at + position >= len(data):
            return None
        byte = data[at + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:  # no continuation bit
            return value, at + position + 1
    raise MalformedPacketError("a length has more than four bytes")
