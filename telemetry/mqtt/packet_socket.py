"""The socket below paho, which keeps messages away from it."""

import ssl
from typing import Any

from telemetry.mqtt.packets import MalformedPacketError, Publish, split

_READ_BYTES = 32 * 1024
_ENOUGH_MESSAGES, _ENOUGH_BYTES = 100, 64 * 1024
"""What is taken in at once, about: so many take less than a millisecond to receive, however large they are."""
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class PacketSocket:
    """A socket for paho that keeps messages and their acknowledgements away from it.

    paho makes four system calls for each packet it reads and one for each it writes, and builds an object of
    properties for each message: three quarters of all that receiving a message costs. So whatever has arrived is
    read at once, PUBLISH is taken apart by us, and paho is given all other packets to read.
    """

    def __init__(self, inner: Any, *, properties: bool) -> None:
        self._inner = inner
        self._properties = properties
        self._unread = b""
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
        """Read what has arrived, a limited amount; gives the messages, and keeps the other packets for paho."""
        publishes: list[Publish] = []
        size = 0
        while len(publishes) < _ENOUGH_MESSAGES and size < _ENOUGH_BYTES:
            data = self._read()
            if not data:
                break
            try:
                packets = split(self._unread + data, properties=self._properties)
            except MalformedPacketError as error:
                self._ended = ConnectionError(str(error))
                break
            self._unread = (self._unread + data)[packets.size :]
            self._for_paho += packets.others
            publishes += packets.publishes
            size += len(data)
        return publishes

    def _read(self) -> bytes:
        """Give some of what has arrived; nothing where there is none, or the connection has ended."""
        try:
            data: bytes = self._inner.recv(_READ_BYTES)
            while isinstance(self._inner, ssl.SSLSocket) and self._inner.pending():
                data += self._inner.recv(self._inner.pending())
            if not data:
                raise ConnectionResetError("the broker closed the connection")
        except _NOTHING_YET:
            return b""
        except OSError as error:
            self._ended = error
            return b""
        return data

    def flush(self) -> None:
        """Write what was sent, as much as the network takes."""
        if self._unsent and self._ended is None:
            try:
                del self._unsent[: self._inner.send(self._unsent)]
            except _NOTHING_YET:
                return
            except OSError as error:
                self._ended = error

    # What paho needs of a socket.

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
