"""The loggers of many shipments at the broker: each message stays in their memory until the ack topic confirms its readings."""

import threading
import time
from collections.abc import Sequence

from simulators.wire.ack import Ack, parse_ack
from tests.acceptance.logger import Link
from tests.chaos.traces import Message

AGAIN_AFTER_S = 2.0


class Loggers(Link):
    """Publishes messages at a pace from a thread of its own; what nobody confirms is sent again if `patient` is false."""

    def __init__(self, url: str, messages: Sequence[Message], *, per_s: float, patient: bool) -> None:
        self._messages = messages
        self._memory = dict(enumerate(messages))  # what is not confirmed yet
        self._told: dict[tuple[str, int], Ack] = {}
        self._sending_again: set[str] = set()
        self._pace_s = 1 / per_s
        self._patient = patient
        self._closing = threading.Event()
        self.sent = 0
        self.all_sent = threading.Event()
        super().__init__(url)
        self.until(lambda: self.connected is not None)
        assert not self.subscribe("dewar/v1/+/ack").is_failure
        self._thread = threading.Thread(target=self._publish, name="loggers")

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        super().__exit__()

    def start(self) -> None:
        self._thread.start()

    @property
    def share_sent(self) -> float:
        return self.sent / len(self._messages)

    @property
    def readings_sent(self) -> int:
        return sum(len(message.numbers) for message in self._messages[: self.sent])

    def unconfirmed(self) -> int:
        """Gives how many messages wait for their confirmation, and forgets those that have it."""
        with self.heard:
            told = dict(self._told)
            memory = dict(self._memory)
            for number, message in memory.items():
                if all(has(told.get((message.device_id, boot)), seq) for boot, seq in message.numbers):
                    del self._memory[number]
            return len(self._memory)

    def _publish(self) -> None:
        started = time.monotonic()
        for number, message in enumerate(self._messages):
            if self._closing.wait(max(0.0, started + number * self._pace_s - time.monotonic())):
                return
            self._send(message)
            self.sent = number + 1
        self.all_sent.set()
        while not self._patient and not self._closing.wait(AGAIN_AFTER_S):
            if self.unconfirmed():
                with self.heard:
                    memory = list(self._memory.values())
                for message in memory:
                    self._send(message)

    def _send(self, message: Message) -> None:
        self.send(f"dewar/v1/{message.device_id}/readings", message.payload)

    def hear(self, device_id: str, ack: bytes) -> None:
        """Takes an acknowledgement in: each tells all that is known of one boot.

        Once the service says that it has lost what it confirmed, everything waits again that is not confirmed anew.
        """
        said = parse_ack(ack)
        assert said is not None, ack
        if said.resend and device_id not in self._sending_again:
            self._sending_again.add(device_id)
            self._told = {key: told for key, told in self._told.items() if key[0] != device_id}
            self._memory |= {
                number: message
                for number, message in enumerate(self._messages)
                if message.device_id == device_id
            }
        self._told[device_id, said.boot] = said


def has(told: Ack | None, seq: int) -> bool:
    if told is None or seq > told.highest:
        return False
    return not any(first <= seq <= last for first, last in told.missing)
