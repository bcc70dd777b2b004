"""One credential does not take the broker from everybody, and a logger with weeks of backlog is no attacker."""

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest

from tests.acceptance.command import Command
from tests.acceptance.logger import Logger
from tests.conftest import in_its_own_loop
from tests.security.neighbour import Neighbour, resident_mb
from tests.security.strangers import as_somebody_elses

BROKER_MB = 700
"""What the broker may grow to: the queue ends at 512 MiB."""
START = datetime.now(UTC) - timedelta(days=40)


class Wire:
    """MQTT 3.1.1 as fast as a socket takes it, which waits for nothing and keeps to no limit."""

    def __init__(self, mqtt: dict[str, Any], client_id: str = "") -> None:
        self._socket, self.code = log_in(mqtt, client_id)
        self._numbers = itertools.cycle(range(1, 65_536))
        self.topic = f"dewar/v1/{mqtt['username']}/readings"
        self.sent = 0
        threading.Thread(target=self._swallow, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def publish(self, payload: bytes) -> None:
        number = struct.pack(">H", next(self._numbers))
        self._socket.sendall(_packet(0x32, _text(self.topic.encode()) + number + payload))
        self.sent += 1

    def _swallow(self) -> None:
        try:
            while self._socket.recv(65_536):
                pass
        except OSError:
            return


def log_in(mqtt: dict[str, Any], client_id: str = "") -> tuple[socket.socket, int]:
    """Opens a connection to the broker; gives it with the broker's answer."""
    at = urlsplit(mqtt["url"])
    opened = socket.create_connection((at.hostname, at.port), timeout=10)
    account = [
        _text(each.encode()) for each in (client_id or mqtt["username"], mqtt["username"], mqtt["password"])
    ]
    opened.sendall(_packet(0x10, _text(b"MQTT") + b"\x04\xc2\x02\x58" + b"".join(account)))
    return opened, opened.recv(4)[3]


def descriptors_of(server: Any) -> int:
    """How many descriptors a server has open, its connections among them."""
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _packet(kind: int, body: bytes) -> bytes:
    length, rest = bytearray(), len(body)
    while True:
        rest, low = divmod(rest, 128)
        length.append(low | (128 if rest else 0))
        if not rest:
            return bytes([kind]) + bytes(length) + body


def registered(service: Command, device_id: str) -> dict[str, Any]:
    with service.client() as ops:
        return ops.post("/v1/devices", json={"device_id": device_id}).json()["mqtt"]


def shown(service: Command, device_id: str) -> dict[str, Any]:
    with service.client() as ops:
        return ops.get(f"/v1/devices/{device_id}").json()


def flood(mqtt: dict[str, Any], payloads: Iterator[bytes], seconds: float) -> int:
    """Sends until it is cut off, and tries again until the time is up; returns how many messages that were."""
    sent, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with Wire(mqtt) as wire:
                try:
                    while wire.code == 0 and time.monotonic() < until:
                        wire.publish(next(payloads))
                finally:
                    sent += wire.sent
        except (OSError, IndexError):
            pass
        time.sleep(0.05)
    return sent


@contextmanager
def measured(broker: Any) -> Iterator[list[float]]:
    """The largest resident memory of the broker, in MB, once the block has ended."""
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            peak[0] = max(peak[0], resident_mb(broker.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def readings(first: int, count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "measured_at": (START + timedelta(minutes=number)).isoformat(),
            "temperature_c": -180.0,
            "seq": number,
        }
        | fields
        for number in range(first, first + count)
    ]


FLOODS = {
    "garbage of 1 MB": lambda: itertools.repeat(b"x" * 1_040_000),
    "an array of 1 MB in which nothing is a reading": lambda: itertools.repeat(
        orjson.dumps([{"measured_at": "never", "note": "x" * 960}] * 1000)
    ),
    "small garbage": lambda: itertools.repeat(b"x" * 50),
    "the same readings again and again": lambda: itertools.repeat(orjson.dumps(readings(0, 500))),
    "beyond what the broker takes": lambda: itertools.repeat(b"x" * 1_200_000),
}


def test_a_neighbour_is_served_beside_a_flood_which_is_cut_off_and_takes_no_memory(own_service, broker):
    attacker = registered(own_service, "attacker")
    with Neighbour(own_service) as honest, measured(broker) as peak:
        quiet = honest.during(0.5)
        attacked = honest.phase_of(lambda: flood(attacker, FLOODS["garbage of 1 MB"](), 2))
        attacked.is_served()
        assert shown(own_service, "attacker")["suspended_for"] == "garbage"
    assert peak[0] < BROKER_MB
    assert attacked.peak_mb - quiet.peak_mb < 250


@pytest.mark.parametrize("count", [1000, pytest.param(3000, marks=pytest.mark.long)])
def test_thousands_of_connections_of_one_credential_are_one_and_the_neighbour_is_served(
    own_service, broker, count
):
    """Whatever client ids they name, and though the attacker closes none of them."""
    attacker = registered(own_service, "attacker")
    with Neighbour(own_service) as honest, contextlib.ExitStack() as opened:
        before, most = descriptors_of(broker), 0

        def attack() -> None:
            nonlocal most
            for number in range(count):
                stranger, code = log_in(attacker, f"another-{number}")
                opened.enter_context(stranger)
                assert code == 0
                most = max(most, descriptors_of(broker)) if number % 20 == 0 else most

        honest.phase_of(lambda: as_somebody_elses(attack)).is_served()
        assert most - before < 10
        assert resident_mb(broker.pid) < 60


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        ("garbage of 1 MB", 6),
        *(pytest.param(what, 60, marks=[pytest.mark.long, pytest.mark.timeout(300)]) for what in FLOODS),
    ],
)
def test_a_flood_is_cut_off_and_the_neighbour_notices_nothing(own_service, broker, what, seconds):
    attacker = registered(own_service, "attacker")
    with Neighbour(own_service) as honest, measured(broker) as peak:
        quiet = honest.during(4)
        attacked = honest.phase_of(lambda: flood(attacker, FLOODS[what](), seconds))
        # In the short form, the second in which the flood is found is a sixth of all: the floors are for that.
        floors = {"calls_floor_ms": 1000, "acks_floor_ms": 3000} if seconds < 60 else {}
        attacked.is_like(quiet, **floors)
        assert peak[0] < BROKER_MB
        assert attacked.peak_mb - quiet.peak_mb < 250
    if what != "beyond what the broker takes":  # of this one, nothing reaches the service
        said = [orjson.loads(line) for line in own_service.log.splitlines() if "logger_suspended" in line]
        reason = "repetition" if "same" in what else "garbage"
        assert {(each["device"], each["reason"]) for each in said} == {("attacker", reason)}


def test_a_suspension_ends_by_itself_and_the_logger_gets_in_with_the_password_that_it_has(
    own_service, database_url
):
    access = registered(own_service, "LOG-1")
    flood(access, FLOODS["garbage of 1 MB"](), 3)
    assert shown(own_service, "LOG-1")["suspended_until"] is not None
    with Wire(access) as wire:
        assert wire.code != 0
    in_its_own_loop(_execute(database_url, "UPDATE device_suspensions SET until = now()"))
    until = time.monotonic() + 15
    while shown(own_service, "LOG-1")["suspended_until"] is not None:
        assert time.monotonic() < until
        time.sleep(0.1)
    with Logger("LOG-1", access) as logger:
        logger.send(logger.topic, orjson.dumps(readings(0, 10)))
        logger.acknowledged("LOG-1", 0, 9)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(
    ("count", "size"),
    [
        (20_160, 500),  # two weeks at one a minute
        pytest.param(40_320, 1, marks=pytest.mark.long),
        pytest.param(242_000, 1000, marks=pytest.mark.long),  # four weeks at one each ten seconds
    ],
)
def test_a_logger_that_unloads_weeks_of_backlog_is_no_attacker(own_service, count, size):
    with Logger("LOG-1", registered(own_service, "LOG-1")) as logger:
        for first in range(0, count, size):
            batch = readings(first, min(size, count - first))
            logger.send(logger.topic, orjson.dumps(batch if size > 1 else batch[0]))
        logger.until(lambda: logger.acks and logger.acks[-1][1]["through"] == count - 1, 100)
    assert shown(own_service, "LOG-1")["suspended_until"] is None
