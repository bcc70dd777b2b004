"""A TCP proxy that can stop forwarding without closing anything, as a network does that loses a route."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from typing import Self

_CHUNK = 65536


class Proxy:
    """Forwards connections to a port of this machine; each has a thread of its own."""

    def __init__(self, to_port: int) -> None:
        self._to = ("127.0.0.1", to_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._flows = threading.Event()
        self._flows.set()
        self._generation = 0  # connections of former ones are cut off for good
        self._closing = False
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._flows.set()
        self._listener.close()
        for link in list(self._open):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing passes for as long as the block lasts, on connections old and new; then all goes on."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def cut_off(self) -> None:
        """Of the connections that are open nothing passes any more, and none is closed; new ones work."""
        self._generation += 1

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client, self._generation), daemon=True).start()

    def _serve(self, client: socket.socket, generation: int) -> None:
        self._flows.wait()
        try:
            server = socket.create_connection(self._to, timeout=5)
        except OSError:  # away, so that the client hears it at once
            client.close()
            return
        server.settimeout(None)
        for link in (client, server):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open |= {client, server}
        try:
            with contextlib.suppress(OSError):
                self._forward(client, server, generation)
        finally:
            self._open -= {client, server}
            client.close()
            server.close()

    def _forward(self, client: socket.socket, server: socket.socket, generation: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._closing:
                ready = selector.select(0.5)
                self._flows.wait()
                if generation != self._generation:
                    self._hold()
                    return
                for key, _ in ready:
                    assert isinstance(key.fileobj, socket.socket)
                    if not (content := key.fileobj.recv(_CHUNK)):
                        return
                    key.data.sendall(content)

    def _hold(self) -> None:
        """Keeps both sides open, and does nothing, until all ends."""
        pause = threading.Event()
        while not self._closing:
            pause.wait(0.5)
