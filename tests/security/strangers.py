"""Somebody without a key: raw connections, from an address of their own, that send what they like for as long as they like."""

import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.acceptance.command import Command

ELSEWHERE = "127.0.0.2"
"""An address that is not the honest neighbour's."""


def connect(service: Command, source: str = ELSEWHERE, *, small: bool = False) -> socket.socket:
    """A connection; with `small`, one whose own buffer takes next to nothing of an answer."""
    at = urlsplit(service.url)
    opened = socket.socket()
    if small:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.settimeout(15)
    opened.bind((source, 0))
    opened.connect((at.hostname, at.port))
    return opened


def as_somebody_elses(work: Callable[[], object], threads: int = 1) -> None:
    """Runs an attack to its end, at a low priority: a stranger has a machine of his own, and does not take from ours."""

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        work()

    started = [threading.Thread(target=run) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


@dataclass(frozen=True)
class Ended:
    """How a connection ended."""

    answers: Sequence[int]
    """The statuses that came."""
    sent: int
    seconds: float
    closed: bool
    text: str


def pour(
    service: Command, first: bytes, endless: bytes = b"", *, each_s: float = 0.0, within_s: float = 15.0
) -> Ended:
    """Sends the first bytes and then others without end, as fast as they are taken, until the service closes."""
    began, heard, sent, closed, waiting = time.monotonic(), bytearray(), 0, False, first
    with connect(service) as stranger:
        stranger.setblocking(False)
        due = began
        while not closed and time.monotonic() - began < within_s:
            now = time.monotonic()
            if not waiting and endless and now >= due:
                waiting, due = endless, now + each_s
            readable, writable, _ = select.select([stranger], [stranger] if waiting else [], [], 0.05)
            try:
                if readable:
                    more = stranger.recv(65536)
                    heard += more
                    closed = not more
                elif writable:
                    count = stranger.send(waiting)
                    sent, waiting = sent + count, waiting[count:]
            except (ConnectionResetError, BrokenPipeError):
                closed = True
    answers = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", bytes(heard))]
    return Ended(answers, sent, time.monotonic() - began, closed, heard.decode(errors="replace"))
