"""Sends recorded messages again over MQTT, at the pace of the recording or as fast as the broker takes them."""

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
# So many readings may be without confirmation. A broker drops what a service cannot take as fast as it comes.
WINDOW = 20_000
# After so long a silence what is not confirmed is sent again, as a logger would.
AGAIN_AFTER_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySettings:
    """Where to, and how fast: `speed` times as fast as recorded, None without any waiting.

    `wait_s` is how long after the last message the service may say nothing before it is taken not to answer.
    """

    mqtt_url: str = field(repr=False)
    speed: float | None = None
    wait_s: float = 10.0
    messages_under_way: int = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySummary:
    """How far a replay has come; what was sent a second time counts once. Readings without a `seq` are never confirmed by the service, and not counted there."""

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
    """Send messages, each with how many milliseconds after the first it is due, until all are sent or `stop` is set.

    Returns when the broker has them and the service has confirmed those that it can, or has been silent for too long.
    BrokerRefusedError where the account is refused; a broker that is not there is waited for.
    """
    sending = _Replay(settings, messages, on_progress)
    try:
        await until_stopped(sending.work(), stop)
    finally:
        summary = sending.summary()
        await sending.publisher.stop()
    return summary


class _Replay:
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
            on_ack=self._hear,
            on_change=self._wake.set,
        )

    async def work(self) -> None:
        await self.publisher.start()
        began = let_others = time.monotonic()
        for due_ms, message in self._messages:
            if self._settings.speed is not None:
                due = began + due_ms / 1000 / self._settings.speed
                while (left_s := due - time.monotonic()) > 0:
                    await self._rest(left_s)
            await self._window()
            await self._send(message)
            if time.monotonic() - let_others > SLICE_S:
                await asyncio.sleep(0)
                let_others = time.monotonic()
                self._show()
        await self.publisher.flushed()
        await self._confirmed()

    async def _send(self, message: RecordedMessage) -> None:
        while not self.publisher.has_room():
            await self._rest(PROGRESS_EVERY_S)
        self.publisher.publish(message.topic, message.payload, retain=message.retain)
        self._messages_sent += 1
        self._readings += self._unconfirmed.sent(message)
        if self._listening:
            self._kept.append(message)

    async def _window(self) -> None:
        """Wait while too much is without confirmation, unless nobody confirms anything."""
        if self._listening and self._unconfirmed.left > WINDOW:
            await self._confirmed(WINDOW // 2)
            self._kept = [message for message in self._kept if self._unconfirmed.lacks(message)]
            if self._unconfirmed.left > WINDOW // 2:
                self._listening = False
                self._kept.clear()

    async def _confirmed(self, left: int = 0) -> None:
        """Wait until no more than that is left to be confirmed, for as long as the service goes on confirming."""
        stored, since, again = self._unconfirmed.stored, time.monotonic(), False
        while self._unconfirmed.left > left and time.monotonic() - since < self._settings.wait_s:
            await self._rest(PROGRESS_EVERY_S)
            if self._unconfirmed.stored > stored:
                stored, since, again = self._unconfirmed.stored, time.monotonic(), False
            elif not again and time.monotonic() - since > AGAIN_AFTER_S:
                again = True
                await self._send_again()

    async def _send_again(self) -> None:
        self._kept = [message for message in self._kept if self._unconfirmed.lacks(message)]
        for message in self._kept:
            while not self.publisher.has_room():
                await self._rest(PROGRESS_EVERY_S)
            self.publisher.publish(message.topic, message.payload, retain=message.retain)

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until something has changed, and show how far it has come."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), min(seconds, PROGRESS_EVERY_S))
        self._show()

    def _hear(self, device_id: str, payload: bytes) -> None:
        ack = parse_ack(payload)
        if ack is not None:
            self._unconfirmed.confirm(device_id, ack)
            self._wake.set()

    def _show(self) -> None:
        if time.monotonic() - self._shown_at >= PROGRESS_EVERY_S:
            self._shown_at = time.monotonic()
            self._on_progress(self.summary())

    def summary(self) -> ReplaySummary:
        return ReplaySummary(
            messages=self._messages_sent,
            readings=self._readings,
            numbered=self._unconfirmed.numbered,
            confirmed=self._unconfirmed.stored,
            refused=self.publisher.refused,
            connected=self.publisher.connected,
            elapsed_s=time.monotonic() - self._began,
        )
