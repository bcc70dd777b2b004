"""The socket between paho and the network, which handles messages without paho."""

import ssl
from typing import Any

from telemetry.mqtt.packets import MalformedPacketError, Publish, split_packets

_READ_BYTES, _READ_LARGE_BYTES = 32 * 1024, 256 * 1024
_ENOUGH_MESSAGES, _ENOUGH_BYTES = 100, 64 * 1024
"""Where one `receive` stops, roughly: this much takes less than a millisecond, however large the messages are."""
_NOT_READY = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class PacketSocket:
    """A socket for paho that handles PUBLISH and PUBACK itself and passes on all other packets.

    paho makes four system calls for each packet that it reads and one for each that it writes, and builds a properties
    object for each message: three quarters of the cost of receiving a message. So whatever has arrived is read at once,
    PUBLISH is parsed here, and paho reads only the other packets.
    """

    def __init__(self, inner: Any, *, properties: bool) -> None:
        self._inner = inner
        self._properties = properties
        self._unread = bytearray()
        self._awaited = 0
        """The size that what is unread must have before it is looked at again: a large packet comes in many pieces."""
        self._for_paho = b""
        self._unsent = bytearray()
        self._ended: OSError | None = None

    @property
    def has_packets_for_paho(self) -> bool:
        return bool(self._for_paho) or self._ended is not None

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def receive(self) -> list[Publish]:
        """Read what has arrived, up to a limit; return the messages, and keep the other packets for paho."""
        publishes: list[Publish] = []
        size = 0
        while len(publishes) < _ENOUGH_MESSAGES and size < _ENOUGH_BYTES:
            data = self._read()
            if not data:
                break
            self._unread += data
            size += len(data)
            if len(self._unread) < self._awaited:
                continue
            try:
                packets = split_packets(self._unread, properties=self._properties)
            except MalformedPacketError as error:
                self._ended = ConnectionError(str(error))
                break
            del self._unread[: packets.size]
            self._awaited = packets.awaited
            self._for_paho += packets.others
            publishes += packets.publishes
        return publishes

    def _read(self) -> bytes:
        """Read some of what has arrived; empty if there is nothing or the connection has ended."""
        try:
            data: bytes = self._inner.recv(_READ_LARGE_BYTES if self._awaited else _READ_BYTES)
            while isinstance(self._inner, ssl.SSLSocket) and self._inner.pending():
                data += self._inner.recv(self._inner.pending())
            if not data:
                raise ConnectionResetError("the broker closed the connection")
        except _NOT_READY:
            return b""
        except OSError as error:
            self._ended = error
            return b""
        return data

    def flush(self) -> None:
        """Write as much of the sent data as the network accepts."""
        if self._unsent and self._ended is None:
            try:
                del self._unsent[: self._inner.send(self._unsent)]
            except _NOT_READY:
                return
            except OSError as error:
                self._ended = error

    # The interface that paho needs of a socket.

    def recv(self, size: int) -> bytes:
        if self._for_paho:
            taken, self._for_paho = self._for_paho[:size], self._for_paho[size:]
            return taken
        if self._ended is not None:
            raise self._ended
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        self._unsent += data
        return len(data)

    def close(self) -> None:
        self.flush()
        self._inner.close()

    def fileno(self) -> int:
        return int(self._inner.fileno())

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 -- paho calls it so
        self._inner.setblocking(flag)
