"""Pure: one logger over all its journeys: what it would send at a given time, and what an answer changes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulators.arrays import Bools
from simulators.fleet.fleet import Fleet
from simulators.journeys.journey import BootSection, Journey, pack_away
from simulators.journeys.kept import kept_mask
from simulators.journeys.payloads import payload
from simulators.journeys.ticks import taken_ms, ticks_taken_by
from simulators.loggers.buffer import Buffer
from simulators.wire.ack import Ack
from simulators.wire.ranges import SeqRange, seqs, size

# Loggers differ in how much they send at once after a silence.
BATCHES = (100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class ReadingsMessage:
    """Readings of one journey and boot that go into one message; the ranges are sequence numbers."""

    journey: Journey
    section: BootSection
    ranges: list[SeqRange]

    @property
    def readings(self) -> int:
        return size(self.ranges)

    def payload(self) -> bytes:
        return payload(self.journey, [self.section.first + seq for seq in seqs(self.ranges)])


@dataclass(slots=True)
class _BootOnJourney:
    """A boot on a journey, how many of its readings have been taken, and those of them that are not confirmed.

    `had` says of each tick of the journey whether there is such a reading at all; None is all.
    """

    journey: Journey
    section: BootSection
    buffer: Buffer
    had: Bools | None
    taken: int = 0

    @property
    def overwritten(self) -> list[SeqRange]:
        first = self.section.first
        return [(first + begins, first + ends) for begins, ends in self.buffer.overwritten]

    @property
    def over(self) -> bool:
        return self.taken == self.section.end - self.section.first

    def take(self, ticks: int) -> int:
        """Take in that so many ticks of the journey have passed, and return how many new readings there are."""
        taken = min(max(ticks, self.section.first), self.section.end) - self.section.first
        if taken <= self.taken:
            return 0
        first, last = self.taken, taken - 1
        self.taken = taken
        if self.had is None:
            self.buffer.fill(taken)
            return last - first + 1
        there = np.flatnonzero(self.had[self.section.first + first : self.section.first + taken]) + first
        self.buffer.fill(taken, [(int(seq), int(seq)) for seq in there])
        return len(there)


class Logger:
    """A logger, whose memory at its start holds the journey under way and the one before.

    Times are epoch milliseconds of the wall, given by the caller; no reading is taken after `until_ms`. The memory holds
    as many readings as the fleet or the model says, whether confirmed or not; then the oldest are overwritten.
    """

    __slots__ = (
        "_ack_timeout_s",
        "_batch",
        "_coming",
        "_gone",
        "_next",
        "_sampled_ms",
        "_trips",
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
        self._batch = BATCHES[index % len(BATCHES)]
        self._ack_timeout_s = ack_timeout_s
        self._until_ms = until_ms
        self._sampled_ms = 0
        self._trips: list[_BootOnJourney] = []
        self._gone: dict[str, list[SeqRange]] = {}
        self._coming: Iterator[Journey] = fleet.journeys_from(index, now_ms)
        self._next = next(self._coming, None)

    @property
    def coming(self) -> Journey | None:
        """Return the next journey whose logger has not been switched on yet."""
        return self._next

    @property
    def lost(self) -> dict[str, list[SeqRange]]:
        """Return the ticks of what was overwritten and never confirmed, by shipment."""
        lost = {shipment_id: list(ticks) for shipment_id, ticks in self._gone.items()}
        for trip in self._trips:
            if trip.buffer.overwritten:
                lost.setdefault(trip.journey.shipment_id, []).extend(trip.overwritten)
        return lost

    @property
    def unconfirmed(self) -> int:
        return sum(trip.buffer.unconfirmed for trip in self._trips)

    @property
    def finished(self) -> bool:
        """Whether no reading is to be taken any more, and every one is confirmed."""
        stopped = self._until_ms is not None and self._sampled_ms >= self._until_ms
        over = self._next is None and all(trip.over for trip in self._trips)
        return (stopped or over) and not self.unconfirmed

    def take(self, now_ms: int) -> list[ReadingsMessage]:
        """Take the readings due by now, see whether there is a connection, and return what is to be sent."""
        self._sample(now_ms if self._until_ms is None else min(now_ms, self._until_ms))
        was_online, self.online = self.online, self._reachable(now_ms)
        if not self.online:
            return []
        if not was_online:
            for trip in self._trips:
                trip.buffer.recall()
        return [
            ReadingsMessage(t.journey, t.section, ranges)
            for t in self._trips
            for ranges in t.buffer.take(now_ms / 1000)
        ]

    def confirm(self, ack: Ack, now_ms: int) -> int:
        """Forget what the service has, and return how many readings that were."""
        trips = [trip for trip in self._trips if trip.section.boot == ack.boot]
        return sum(trip.buffer.confirm(ack, now_ms / 1000) for trip in trips)

    def due_ms(self, now_ms: int) -> int | None:
        """Return when there is something to do after now, if nothing is heard before; None for nothing."""
        times = [self._next.on_ms] if self._next is not None else []
        for trip in self._trips:
            if not trip.over:
                times.append(
                    trip.journey.silent_until_ms(now_ms)
                    or taken_ms(trip.journey, trip.section.first + trip.taken)
                )
            overdue_s = trip.buffer.due_s()
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
                self._trips.append(
                    _BootOnJourney(self._next, section, buffer, None if there.all() else there)
                )
            self._next = next(self._coming, None)
        newest = self._trips[-1].journey if self._trips else None
        for trip in self._trips:
            self.taken += trip.take(ticks_taken_by(trip.journey, now_ms))
        self._overwrite()
        # An earlier journey is forgotten once all of it is confirmed; the newest says where the logger is.
        for trip in self._trips:
            if not trip.buffer.unconfirmed and trip.journey is not newest and trip.buffer.overwritten:
                self._gone.setdefault(trip.journey.shipment_id, []).extend(trip.overwritten)
        self._trips = [trip for trip in self._trips if trip.buffer.unconfirmed or trip.journey is newest]

    def _overwrite(self) -> None:
        """Let the newest readings take the room of the oldest."""
        room = self._trips[-1].journey.capacity if self._trips else 0
        for trip in reversed(self._trips):
            if trip.taken > room:
                self.overwritten += trip.buffer.overwrite(trip.taken - room)
            room = max(0, room - trip.taken)

    def _reachable(self, now_ms: int) -> bool:
        if not self._trips:
            return False
        journey = self._trips[-1].journey
        if now_ms >= journey.off_ms or (self._until_ms is not None and now_ms > self._until_ms):
            # Somebody holds it in their hands and reads it out.
            return self.unconfirmed > 0
        return journey.silent_until_ms(now_ms) is None
