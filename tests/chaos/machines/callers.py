"""Who uses the service all along: loggers, live shipments of which one gets warm in each fault, and a clerk who registers loggers."""

import threading
import time
from datetime import UTC, datetime
from typing import Any, Self

import httpx
import orjson

from simulators.wire.ack import Ack, parse_ack
from tests.acceptance.command import ADMIN_KEY
from tests.acceptance.logger import Link
from tests.chaos.loggers import AGAIN_AFTER_S, Loggers, has
from tests.chaos.machines.operations import Log, Outcome
from tests.chaos.traces import Message

FINE_C, WARM_C = -180.0, -100.0
EVERY_S = 0.25


class LoggedLoggers(Loggers):
    """The loggers of the journeys, with each reading on the log of operations."""

    def __init__(self, log: Log, *arguments: Any, **named: Any) -> None:
        self._log = log
        self._open: dict[tuple[str, int], set[int]] = {}  # what was sent and never confirmed
        super().__init__(*arguments, **named)

    def _send(self, message: Message) -> None:
        with self.heard:
            for boot, seq in message.numbers:
                self._log.invoke("reading", (message.device_id, boot, seq))
                self._open.setdefault((message.device_id, boot), set()).add(seq)
        super()._send(message)

    def hear(self, device_id: str, ack: bytes) -> None:
        super().hear(device_id, ack)
        said = parse_ack(ack)
        assert said is not None
        waiting = self._open.get((device_id, said.boot), set())
        for seq in [seq for seq in waiting if has(said, seq)]:
            waiting.discard(seq)
            self._log.end("reading", (device_id, said.boot, seq), Outcome.OK)


class Pilots(Link):
    """Live shipments, one after the other: each measures now, is fine until a fault begins, and then too warm."""

    def __init__(self, log: Log, url: str, names: list[str]) -> None:
        self._log = log
        self.names = names
        self.measured: dict[str, list[tuple[datetime, float]]] = {name: [] for name in names}
        self._told: dict[str, Ack] = {}
        self._number = 0
        self._warm = False
        self._closing = threading.Event()
        super().__init__(url)
        self.until(lambda: self.connected is not None)
        assert not self.subscribe("dewar/v1/+/ack").is_failure
        self._thread = threading.Thread(target=self._fly, name="pilots")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        super().__exit__()

    @property
    def current(self) -> str:
        return self.names[self._number]

    def get_warm(self) -> None:
        self._warm = True

    def next(self) -> None:
        """The shipment that was in danger stays as it is; the next one flies."""
        self._warm = False
        self._number += 1

    def unconfirmed(self) -> list[tuple[str, int]]:
        with self.heard:
            return [
                (name, seq)
                for name, measured in self.measured.items()
                for seq in range(len(measured))
                if not has(self._told.get(name), seq)
            ]

    def _fly(self) -> None:
        again_at = time.monotonic() + AGAIN_AFTER_S
        while not self._closing.wait(EVERY_S):
            with self.heard:
                name, measured = self.current, self.measured[self.current]
                measured.append((datetime.now(UTC), WARM_C if self._warm else FINE_C))
            self._publish(name, len(measured) - 1)
            if time.monotonic() > again_at:
                again_at = time.monotonic() + AGAIN_AFTER_S
                for one, seq in self.unconfirmed():
                    self._publish(one, seq)

    def _publish(self, name: str, seq: int) -> None:
        at, celsius = self.measured[name][seq]
        self._log.invoke("reading", (name, 0, seq))
        value = {"boot": 0, "seq": seq, "measured_at": at.isoformat(), "temperature_c": celsius}
        self.send(f"dewar/v1/{name}/readings", orjson.dumps(value))

    def hear(self, device_id: str, ack: bytes) -> None:
        if device_id not in self.measured:
            return
        said = parse_ack(ack)
        assert said is not None
        self._told[device_id] = said
        for seq in range(len(self.measured[device_id])):
            if has(said, seq):
                self._log.end("reading", (device_id, 0, seq), Outcome.OK)


class Clerk:
    """Registers a logger now and then, each once, at the database and the broker, and notes how that was answered."""

    def __init__(self, log: Log, url: str) -> None:
        self._log, self._url = log, url
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="clerk")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        number = 0
        with httpx.Client(base_url=self._url, headers=headers, timeout=5, trust_env=False) as client:
            while not self._closing.wait(2 * EVERY_S):
                number += 1
                self._register(client, f"clerk-{number}")

    def _register(self, client: httpx.Client, device_id: str) -> None:
        self._log.invoke("call", device_id)
        try:
            answer = client.post("/v1/devices", json={"device_id": device_id})
        except httpx.TransportError:
            return  # nobody knows
        if answer.is_success:
            self._log.end("call", device_id, Outcome.OK)
        elif answer.is_client_error:
            self._log.end("call", device_id, Outcome.FAILED)
