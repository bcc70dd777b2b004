"""A publisher that costs next to nothing: packets made beforehand and sent in blocks, PUBACKs only counted.

Runs in a process of its own. Speaks MQTT 3.1.1 with QoS 1, and has at most two blocks unacknowledged.
"""

import multiprocessing
import os
import socket
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from bench.support.report import BenchError

_BLOCK_BYTES = 100_000
_PUBACK, _PUBACK_BYTES = b"\x40", 4
_PATIENCE_S = 60.0


class Message(NamedTuple):
    """A message to publish."""

    topic: str
    payload: bytes


class Sent(NamedTuple):
    """When publishing began, and when the broker had acknowledged everything, on the monotonic clock."""

    began: float
    ended: float
    at: Sequence[float]
    """When each message was handed to the network, if a rate was given."""


class Publisher:
    """A process that publishes the messages it was given when told to start."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, url), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def load(self, messages: Sequence[Message]) -> None:
        """Have the messages encoded as packets; return once the process is connected and ready."""
        self._pipe.send([tuple(message) for message in messages])
        self._receive()

    def start(self, rate: float | None = None) -> None:
        """Publish the loaded messages, as fast as the broker takes them or evenly at `rate` messages/s."""
        self._pipe.send(rate)

    def result(self, patience_s: float = _PATIENCE_S) -> Sent:
        """Wait until the broker has acknowledged everything."""
        sent: Sent = self._receive(patience_s)
        return sent

    def _receive(self, patience_s: float = _PATIENCE_S) -> Sent:
        try:
            if self._pipe.poll(patience_s):
                received: Sent = self._pipe.recv()
                return received
        except EOFError:
            raise BenchError("the publisher has died: see its traceback above") from None
        raise BenchError(f"the broker did not take the messages within {patience_s:g} s")


def packet(message: Message, packet_id: int) -> bytes:
    """Return the PUBLISH packet, QoS 1 (MQTT 3.1.1, section 3.3)."""
    topic = message.topic.encode()
    body = b"".join(
        (len(topic).to_bytes(2, "big"), topic, packet_id.to_bytes(2, "big"), message.payload),
    )
    return b"\x32" + _length(len(body)) + body


def _length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, low = divmod(size, 128)
        encoded.append(low | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def _serve(pipe: Connection, url: str) -> None:
    with _connected(url) as link:
        while True:
            messages = [Message(*message) for message in pipe.recv()]
            packets = [packet(message, place % 65535 + 1) for place, message in enumerate(messages)]
            pipe.send(None)
            rate: float | None = pipe.recv()
            pipe.send(_send_all(link, packets) if rate is None else _send_evenly(link, packets, rate))


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    link = socket.create_connection((parts.hostname or "", parts.port or 1883), timeout=_PATIENCE_S)
    link.settimeout(None)  # with a time limit, MSG_WAITALL does not wait
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    names = [f"dewarwatch-bench-{os.getpid()}".encode(), unquote(parts.username or "").encode()]
    fields = [*names, unquote(parts.password or "").encode()]
    body = b"\x00\x04MQTT\x04\xc2\x00\x00" + b"".join(len(f).to_bytes(2, "big") + f for f in fields)
    link.sendall(b"\x10" + _length(len(body)) + body)
    answer = link.recv(4, socket.MSG_WAITALL)
    if answer[:1] != b"\x20" or answer[3:] != b"\x00":
        raise BenchError(f"the broker refuses the publisher: {answer!r}")
    return link


def _send_all(link: socket.socket, packets: Sequence[bytes]) -> Sent:
    blocks = [(len(block), b"".join(block)) for block in _blocks(packets)]
    began = time.monotonic()
    before = 0
    for count, data in blocks:
        link.sendall(data)
        _take_acks(link, before)
        before = count
    _take_acks(link, before)
    return Sent(began, time.monotonic(), ())


def _blocks(packets: Sequence[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for packet_ in packets:
        block.append(packet_)
        size += len(packet_)
        if size >= _BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _send_evenly(link: socket.socket, packets: Sequence[bytes], rate: float) -> Sent:
    at: list[float] = []
    began = time.monotonic()
    for place, packet_ in enumerate(packets):
        while (early := began + place / rate - time.monotonic()) > 0:
            time.sleep(early)
        at.append(time.monotonic())
        link.sendall(packet_)
    _take_acks(link, len(packets))  # a few kilobytes a minute, which the network holds until then
    return Sent(began, time.monotonic(), at)


def _take_acks(link: socket.socket, count: int) -> None:
    """Wait for and read `count` PUBACKs."""
    if count and (acks := link.recv(count * _PUBACK_BYTES, socket.MSG_WAITALL))[::4] != _PUBACK * count:
        raise BenchError(f"{count} PUBACKs were expected, and {len(acks)} bytes came")
