"""Messages of loggers that somebody else has locked in the database: they wait here, so that no other logger waits."""

from collections import deque
from collections.abc import Collection, Sequence
from time import monotonic

from telemetry.ingest.decode import parse_topic
from telemetry.mqtt.inbox import BATCH_MESSAGES, Lane, QueuedMessage


class SetAside:
    """What waits, by logger, in the order of receipt: what a logger sends later joins what waits of it."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[Lane, QueuedMessage]]] = {}
        self._since: dict[str, float] = {}

    @property
    def loggers(self) -> frozenset[str]:
        """The loggers of which something waits."""
        return frozenset(self._waiting)

    @property
    def messages(self) -> int:
        """The number of messages that wait."""
        return sum(map(len, self._waiting.values()))

    def waiting_for_s(self) -> float:
        """Return how long the logger has waited that has waited longest; 0 if none waits."""
        return monotonic() - min(self._since.values()) if self._since else 0.0

    def divert(
        self, lane: Lane, batch: Sequence[QueuedMessage], locked: Collection[str] = ()
    ) -> list[QueuedMessage]:
        """Set aside what is of `locked` loggers, or of some of which something waits already; return the others."""
        rest = []
        for queued in batch:
            device_id = _logger(queued)
            if device_id in locked or device_id in self._waiting:
                self._waiting.setdefault(device_id, deque()).append((lane, queued))
                self._since.setdefault(device_id, monotonic())
            else:
                rest.append(queued)
        return rest

    def oldest(self, loggers: Collection[str]) -> tuple[Lane, list[QueuedMessage]] | None:
        """Return a batch of what waits of these loggers, of one lane; it stays here until it is removed."""
        lane: Lane | None = None
        batch: list[QueuedMessage] = []
        for device_id in loggers:
            for of_lane, queued in self._waiting.get(device_id, ()):
                lane = lane or of_lane
                if of_lane is not lane or len(batch) == BATCH_MESSAGES:
                    break
                batch.append(queued)
        return None if lane is None else (lane, batch)

    def remove(self, batch: Sequence[QueuedMessage]) -> None:
        """Remove a batch that `oldest` returned, once it is stored."""
        for queued in batch:
            device_id = _logger(queued)
            waiting = self._waiting[device_id]
            waiting.popleft()
            if not waiting:
                del self._waiting[device_id], self._since[device_id]


def _logger(queued: QueuedMessage) -> str:
    return parse_topic(queued.message.origin)[0]
