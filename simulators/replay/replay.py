"""Sends messages over MQTT, at the pace of their recording or as fast as the broker takes them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from simulators.replay.unconfirmed import UnconfirmedReadings
from simulators.stopping import until_stopped
from simulators.wire.ack import parse_ack
from simulators.wire.message import RecordedMessage
from simulators.wire.publisher import MqttPublisher

PROGRESS_EVERY_S = 0.25
SLICE_S = 0.05
# How many readings may be unconfirmed. A broker drops messages that the service takes too slowly.
WINDOW = 20_000
# After a silence this long, what is not confirmed is sent again, as a logger would.
AGAIN_AFTER_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySettings:
    """Where to send messages, and how fast: `speed` times as recorded, or without waiting for None.

    After the last message, the service may be silent for `wait_s` before its confirmations are no longer
    waited for.
    """

    mqtt_url: str = field(repr=False)
    speed: float | None = None
    wait_s: float = 10.0
    messages_under_way: int = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySummary:
    """How far a replay has come. What was sent twice counts once.

    The service never confirms readings without a `seq`; `numbered` and `confirmed` do not count them.
    """

    messages: int
    readings: int
    numbered: int
    confirmed: int
    refused: int
    connected: bool
    elapsed_s: float


async def replay(
    settings: ReplaySettings,
    messages: Iterable[tuple[int, RecordedMessage]],
    *,
    on_progress: Callable[[ReplaySummary], None] | None = None,
    stop: asyncio.Event,
) -> ReplaySummary:
    """Send messages, each due so many milliseconds after the first, until all are sent or `stop` is set.

    Returns when the broker has all of them and the service has confirmed what it can, or has been silent for
    too long. A broker that is not there is waited for. Raises BrokerLoginRefusedError if the account is
    refused.
    """
    sending = _Replay(settings, messages, on_progress)
    try:
        await until_stopped(sending.work(), stop)
    finally:
        summary = sending.summary()
        await sending.publisher.stop()
    return summary


class _Replay:
    """A replay with its connection."""

    def __init__(
        self,
        settings: ReplaySettings,
        messages: Iterable[tuple[int, RecordedMessage]],
        on_progress: Callable[[ReplaySummary], None] | None,
    ) -> None:
        self._settings = settings
        self._messages = messages
        self._on_progress = on_progress or (lambda _: None)
        self._began = self._shown_at = time.monotonic()
        self._wake = asyncio.Event()
        self._unconfirmed = UnconfirmedReadings()
        self._messages_sent = self._readings = 0
        self._listening = settings.wait_s > 0
        self._kept: list[RecordedMessage] = []
        self.publisher = MqttPublisher(
            settings.mqtt_url,
            limit=settings.messages_under_way,
            on_ack=self._receive_ack,
            on_change=self._wake.set,
        )

    async def work(self) -> None:
        """Send all messages, and wait for the confirmations."""
        await self.publisher.start()
        if self._listening:
            await self.publisher.listening()
        began = yielded_at = time.monotonic()
        for due_ms, message in self._messages:
            if self._settings.speed is not None:
                due = began + due_ms / 1000 / self._settings.speed
                while (left_s := due - time.monotonic()) > 0:
                    await self._wait(left_s)
            await self._make_room()
            await self._send(message)
            if time.monotonic() - yielded_at > SLICE_S:
                await asyncio.sleep(0)
                yielded_at = time.monotonic()
                self._show()
        await self.publisher.flushed()
        await self._wait_until_confirmed()

    async def _publish(self, message: RecordedMessage) -> None:
        while not self.publisher.has_room():
            await self._wait(PROGRESS_EVERY_S)
        self.publisher.publish(message.topic, message.payload, retain=message.retain)

    async def _send(self, message: RecordedMessage) -> None:
        await self._publish(message)
        self._messages_sent += 1
        self._readings += self._unconfirmed.sent(message)
        if self._listening:
            self._kept.append(message)

    async def _make_room(self) -> None:
        """Wait while too many readings are unconfirmed, unless the service confirms nothing at all."""
        if self._listening and self._unconfirmed.left > WINDOW:
            await self._wait_until_confirmed(WINDOW // 2)
            self._kept = [message for message in self._kept if self._unconfirmed.lacks(message)]
            if self._unconfirmed.left > WINDOW // 2:
                self._listening = False
                self._kept.clear()

    async def _wait_until_confirmed(self, left: int = 0) -> None:
        """Wait until at most `left` readings are unconfirmed, as long as the service keeps confirming."""
        stored, since, again = self._unconfirmed.stored, time.monotonic(), False
        while self._unconfirmed.left > left and time.monotonic() - since < self._settings.wait_s:
            await self._wait(PROGRESS_EVERY_S)
            if self._unconfirmed.stored > stored:
                stored, since, again = self._unconfirmed.stored, time.monotonic(), False
            elif not again and time.monotonic() - since > AGAIN_AFTER_S:
                again = True
                await self._send_again()

    async def _send_again(self) -> None:
        """Send every message again that has an unconfirmed reading."""
        self._kept = [message for message in self._kept if self._unconfirmed.lacks(message)]
        for message in self._kept:
            await self._publish(message)

    async def _wait(self, seconds: float) -> None:
        """Wait for some time or until something changes, and report progress."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, PROGRESS_EVERY_S)):
                await self._wake.wait()
        self._show()

    def _receive_ack(self, device_id: str, payload: bytes) -> None:
        ack = parse_ack(payload)
        if ack is not None:
            self._unconfirmed.confirm(device_id, ack)
            self._wake.set()

    def _show(self) -> None:
        if time.monotonic() - self._shown_at >= PROGRESS_EVERY_S:
            self._shown_at = time.monotonic()
            self._on_progress(self.summary())

    def summary(self) -> ReplaySummary:
        """Return how far the replay has come."""
        return ReplaySummary(
            messages=self._messages_sent,
            readings=self._readings,
            numbered=self._unconfirmed.numbered,
            confirmed=self._unconfirmed.stored,
            refused=self.publisher.refused,
            connected=self.publisher.connected,
            elapsed_s=time.monotonic() - self._began,
        )
