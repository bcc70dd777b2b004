"""Pure: a logger's memory of what the service has not yet confirmed, and when to send what of it.

Only sequence numbers are kept, as inclusive ranges: any reading can be computed again. Every number is either
waiting to be sent, out (sent, not confirmed), overwritten (not confirmed, and too old for the memory), or gone
(confirmed).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from simulators.wire.ack import Ack
from simulators.wire.ranges import SeqRange, intersection, joined, size, split_after

# So many times the time-out doubles while the service answers, however often the same readings have got lost.
PATIENCE = 2


@dataclass(slots=True)
class _OutstandingBatch:
    ranges: list[SeqRange]
    due_s: float
    tries: int


class Buffer:
    """The unconfirmed readings of one boot. Times are seconds of any one steadily growing clock, given by the caller."""

    __slots__ = (
        "_count",
        "_kept_from",
        "_longest_s",
        "_out",
        "_timeout_s",
        "_waiting",
        "_window",
        "batch",
        "overwritten",
    )

    def __init__(
        self, *, batch: int, window: int = 4, timeout_s: float = 10.0, longest_s: float = 300.0
    ) -> None:
        self.batch = batch
        self._window = window
        self._timeout_s = timeout_s
        self._longest_s = longest_s
        self.overwritten: list[SeqRange] = []
        self._count = 0
        self._kept_from = 0
        self._waiting: list[SeqRange] = []
        self._out: list[_OutstandingBatch] = []

    @property
    def unconfirmed(self) -> int:
        return size(self._waiting) + sum(size(sent.ranges) for sent in self._out)

    def fill(self, count: int, there: Iterable[SeqRange] | None = None) -> None:
        """Take in the readings newly taken, `count` being how many numbers there have been since the boot.

        `there` are those of the new ones that there are to be sent; all without it.
        """
        if count > self._count:
            new = [(self._count, count - 1)] if there is None else there
            self._waiting = joined([*self._waiting, *new])
            self._count = count

    def overwrite(self, before: int) -> int:
        """Lose what has a number below `before` and is not confirmed, and return how many readings that newly is.

        What was sent is lost too: nobody can send it again. Should it turn out to be stored, `confirm` takes it back.
        """
        if before <= self._kept_from:
            return 0
        old, kept = [(self._kept_from, before - 1)], [(before, self._count)]
        lost = intersection(self._waiting, old) + [
            r for sent in self._out for r in intersection(sent.ranges, old)
        ]
        self.overwritten = joined([*self.overwritten, *lost])
        self._waiting = intersection(self._waiting, kept)
        for sent in self._out:
            sent.ranges = intersection(sent.ranges, kept)
        self._out = [sent for sent in self._out if sent.ranges]
        self._kept_from = before
        return size(lost)

    def take(self, now_s: float) -> list[list[SeqRange]]:
        """Return the batches to send now: those whose confirmation is overdue, then as many new ones as the window lets."""
        batches = []
        for sent in self._out:
            if sent.due_s <= now_s:
                sent.tries += 1
                sent.due_s = now_s + min(self._timeout_s * 2**sent.tries, self._longest_s)
                batches.append(sent.ranges)
        while self._waiting and len(self._out) < self._window:
            ranges, self._waiting = split_after(self._waiting, self.batch)
            self._out.append(_OutstandingBatch(ranges, now_s + self._timeout_s, 0))
            batches.append(ranges)
        return batches

    def confirm(self, ack: Ack, now_s: float) -> int:
        """Forget what the service has stored, and return how many readings that were."""
        before = self.unconfirmed
        absent = joined([*ack.missing, (ack.highest + 1, self._count)])
        self.overwritten = intersection(self.overwritten, absent)
        self._waiting = intersection(self._waiting, absent)
        for sent in self._out:
            sent.ranges = intersection(sent.ranges, absent)
        self._out = [sent for sent in self._out if sent.ranges]
        confirmed = before - self.unconfirmed
        if confirmed:
            # The service is there after all; what it lacks need not wait for as long as if it were away.
            for sent in self._out:
                sent.tries = min(sent.tries, PATIENCE)
                sent.due_s = min(sent.due_s, now_s + self._timeout_s * 2**PATIENCE)
        return confirmed

    def recall(self) -> None:
        """Take back all that is out, to be sent anew: after a silence nobody answers what was sent before it."""
        self._waiting = joined([*self._waiting, *(r for sent in self._out for r in sent.ranges)])
        self._out = []

    def due_s(self) -> float | None:
        """Return when the next confirmation is overdue; None while nothing is out."""
        return min((sent.due_s for sent in self._out), default=None)
