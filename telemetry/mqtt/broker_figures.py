"""What a broker says about itself: what it holds, and what it has dropped, which loggers then have to send again."""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from prometheus_client import Gauge

from telemetry import metrics
from telemetry.mqtt.packets import Publish

log = structlog.get_logger(__name__)

_PREFIX = "$SYS/broker/"
_DROPPED = f"{_PREFIX}publish/messages/dropped"
_GAUGES: dict[str, Gauge] = {
    _DROPPED: metrics.BROKER_DROPPED,
    f"{_PREFIX}store/messages/count": metrics.BROKER_WAITING,
    f"{_PREFIX}store/messages/bytes": metrics.BROKER_WAITING_BYTES,
    f"{_PREFIX}heap/current": metrics.BROKER_MEMORY_BYTES,
}
_MISCOUNTED = 2.0**63
"""With its plugin, mosquitto 2.0 subtracts more memory than it added, and tells a number just below 2^64."""
FIGURES = tuple(_GAUGES)
"""The topics, which mosquitto publishes on each ten seconds, where something has changed."""


class BrokerFigures:
    """Keeps the last figures, and tells in the log when more was dropped."""

    def __init__(self) -> None:
        self._dropped: float | None = None

    def take(self, publishes: Sequence[Publish]) -> list[Publish]:
        """Note the figures among some messages, and return the other messages."""
        others = []
        for publish in publishes:
            if publish.topic.startswith(_PREFIX):
                with suppress(ValueError):  # what is not a number says nothing
                    self._note(publish.topic, float(publish.payload))
            else:
                others.append(publish)
        return others

    def _note(self, topic: str, value: float) -> None:
        if (gauge := _GAUGES.get(topic)) is None:
            return
        if value < _MISCOUNTED:
            gauge.set(value)
        if topic != _DROPPED:
            return
        before, self._dropped = self._dropped, value
        if before is not None and value > before:
            log.warning(
                "broker_dropped_messages",
                messages=int(value - before),
                hint="its queue is full, or somebody does not read: loggers send again what was a reading",
            )
