"""Pure: one logger over all its journeys: what it sends when, and what an acknowledgement changes."""

from collections.abc import Iterator

from simulators.fleet.boots import BATCH_SIZES, BootReadings, ReadingsMessage
from simulators.fleet.fleet import Fleet
from simulators.journeys.journey import Journey, pack_away
from simulators.journeys.kept import kept_mask
from simulators.journeys.ticks import taken_ms, ticks_taken_by
from simulators.loggers.buffer import Buffer
from simulators.wire.ack import Ack
from simulators.wire.ranges import SeqRange


class Logger:
    """One logger. When it starts, its memory holds the journey under way and the one before.

    Times are epoch milliseconds, given by the caller. No reading is taken after `until_ms`. When the memory
    is full, the oldest readings are overwritten, whether they are confirmed or not.
    """

    __slots__ = (
        "_ack_timeout_s",
        "_batch",
        "_boots",
        "_coming",
        "_lost_earlier",
        "_next",
        "_sampled_ms",
        "_until_ms",
        "device_id",
        "online",
        "overwritten",
        "taken",
    )

    def __init__(
        self,
        fleet: Fleet,
        index: int,
        now_ms: int,
        until_ms: int | None = None,
        *,
        ack_timeout_s: float = 10.0,
    ) -> None:
        self.device_id = fleet.device_id(index)
        self.online = False
        self.taken = 0
        self.overwritten = 0
        self._batch = BATCH_SIZES[index % len(BATCH_SIZES)]
        self._ack_timeout_s = ack_timeout_s
        self._until_ms = until_ms
        self._sampled_ms = 0
        self._boots: list[BootReadings] = []
        self._lost_earlier: dict[str, list[SeqRange]] = {}
        self._coming: Iterator[Journey] = fleet.journeys_from(index, now_ms)
        self._next = next(self._coming, None)

    @property
    def coming(self) -> Journey | None:
        """Return the next journey, for which the logger has not been switched on yet."""
        return self._next

    @property
    def lost(self) -> dict[str, list[SeqRange]]:
        """Return the ticks that were overwritten and never confirmed, by shipment."""
        lost = {shipment_id: list(ticks) for shipment_id, ticks in self._lost_earlier.items()}
        for boot in self._boots:
            if boot.buffer.overwritten:
                lost.setdefault(boot.journey.shipment_id, []).extend(boot.overwritten)
        return lost

    @property
    def unconfirmed(self) -> int:
        """Return how many readings are not confirmed."""
        return sum(boot.buffer.unconfirmed for boot in self._boots)

    @property
    def finished(self) -> bool:
        """Whether no more readings will be taken, and all are confirmed."""
        stopped = self._until_ms is not None and self._sampled_ms >= self._until_ms
        over = self._next is None and all(boot.over for boot in self._boots)
        return (stopped or over) and not self.unconfirmed

    def take(self, now_ms: int) -> list[ReadingsMessage]:
        """Take the readings due by now, check the connection, and return the messages to send."""
        self._sample(now_ms if self._until_ms is None else min(now_ms, self._until_ms))
        was_online, self.online = self.online, self._reachable(now_ms)
        if not self.online:
            return []
        if not was_online:
            for boot in self._boots:
                boot.buffer.recall()
        return [
            ReadingsMessage(b.journey, b.section, ranges)
            for b in self._boots
            for ranges in b.buffer.take(now_ms / 1000)
        ]

    def confirm(self, ack: Ack, now_ms: int) -> int:
        """Forget what the service has stored, and return how many readings that were."""
        boots = [boot for boot in self._boots if boot.section.boot == ack.boot]
        return sum(boot.buffer.confirm(ack, now_ms / 1000) for boot in boots)

    def due_ms(self, now_ms: int) -> int | None:
        """Return when there is next something to do if no acknowledgement comes first; None for never."""
        times = [self._next.on_ms] if self._next is not None else []
        for boot in self._boots:
            if not boot.over:
                times.append(
                    boot.journey.silent_until_ms(now_ms)
                    or taken_ms(boot.journey, boot.section.first + boot.taken)
                )
            overdue_s = boot.buffer.due_s()
            if self.online and overdue_s is not None:
                times.append(int(overdue_s * 1000) + 1)
        if self._until_ms is not None:
            times.append(self._until_ms + 1)
        return min((time for time in times if time > now_ms), default=None)

    def _sample(self, now_ms: int) -> None:
        self._sampled_ms = now_ms
        while self._next is not None and self._next.on_ms <= now_ms:
            there = kept_mask(self._next)
            pack_away(self._next)
            for section in self._next.sections:
                buffer = Buffer(batch=self._batch, timeout_s=self._ack_timeout_s)
                self._boots.append(BootReadings(self._next, section, buffer, None if there.all() else there))
            self._next = next(self._coming, None)
        newest = self._boots[-1].journey if self._boots else None
        for boot in self._boots:
            self.taken += boot.take(ticks_taken_by(boot.journey, now_ms))
        self._overwrite()
        # An earlier journey is forgotten once all of it is confirmed. The newest stays: it says where the
        # logger is.
        for boot in self._boots:
            if not boot.buffer.unconfirmed and boot.journey is not newest and boot.buffer.overwritten:
                self._lost_earlier.setdefault(boot.journey.shipment_id, []).extend(boot.overwritten)
        self._boots = [boot for boot in self._boots if boot.buffer.unconfirmed or boot.journey is newest]

    def _overwrite(self) -> None:
        """Overwrite the oldest readings where the newest need the room."""
        room = self._boots[-1].journey.capacity if self._boots else 0
        for boot in reversed(self._boots):
            if boot.taken > room:
                self.overwritten += boot.buffer.overwrite(boot.taken - room)
            room = max(0, room - boot.taken)

    def _reachable(self, now_ms: int) -> bool:
        if not self._boots:
            return False
        journey = self._boots[-1].journey
        if now_ms >= journey.off_ms or (self._until_ms is not None and now_ms > self._until_ms):
            # The journey is over: somebody reads the logger out.
            return self.unconfirmed > 0
        return journey.silent_until_ms(now_ms) is None
