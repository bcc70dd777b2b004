"""Pure: the readings of one boot of a logger on one journey, and the messages that carry them."""

from dataclasses import dataclass

import numpy as np

from simulators.arrays import Bools
from simulators.journeys.journey import BootSection, Journey
from simulators.journeys.payloads import payload
from simulators.loggers.buffer import Buffer
from simulators.wire.ranges import SeqRange, seqs, size

# How many readings a logger puts into one message after a silence; loggers differ.
BATCH_SIZES = (100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class ReadingsMessage:
    """Readings of one boot that go into one message; the ranges are sequence numbers."""

    journey: Journey
    section: BootSection
    ranges: list[SeqRange]

    @property
    def readings(self) -> int:
        """Return how many readings the message carries."""
        return size(self.ranges)

    def payload(self) -> bytes:
        """Return the payload of the message."""
        return payload(self.journey, [self.section.first + seq for seq in seqs(self.ranges)])


@dataclass(slots=True)
class BootReadings:
    """One boot of a logger on a journey: how many readings it took, and the buffer of unconfirmed ones.

    `kept` says for each tick of the journey whether there is such a reading at all; None means for all.
    """

    journey: Journey
    section: BootSection
    buffer: Buffer
    kept: Bools | None
    taken: int = 0

    @property
    def overwritten(self) -> list[SeqRange]:
        """Return the ranges of ticks that were overwritten and never confirmed."""
        first = self.section.first
        return [(first + begins, first + ends) for begins, ends in self.buffer.overwritten]

    @property
    def over(self) -> bool:
        """Whether all readings of the boot have been taken."""
        return self.taken == self.section.end - self.section.first

    def take(self, ticks: int) -> int:
        """Take the readings up to the first `ticks` ticks of the journey, and return how many are new."""
        taken = min(max(ticks, self.section.first), self.section.end) - self.section.first
        if taken <= self.taken:
            return 0
        first, last = self.taken, taken - 1
        self.taken = taken
        if self.kept is None:
            self.buffer.fill(taken)
            return last - first + 1
        there = np.flatnonzero(self.kept[self.section.first + first : self.section.first + taken]) + first
        self.buffer.fill(taken, [(int(seq), int(seq)) for seq in there])
        return len(there)
