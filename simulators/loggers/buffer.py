"""Pure: the readings that a logger keeps until the service has confirmed them, and when it sends which.

The buffer holds sequence numbers only, because any reading can be computed again. A number is waiting to be
sent, or outstanding (sent but not confirmed), or overwritten (not confirmed, and too old for the memory), or
confirmed. What is confirmed is not sent again, unless the service says that it has lost it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from simulators.wire.ack import Ack
from simulators.wire.ranges import SeqRange, difference, intersection, size, split_after, union

# The time-out doubles at most this often while the service answers, however often the same readings get lost.
MOST_DOUBLINGS = 2


@dataclass(slots=True)
class _OutstandingBatch:
    ranges: list[SeqRange]
    due_s: float
    tries: int


class Buffer:
    """The unconfirmed readings of one boot.

    Times are seconds of a monotonic clock that the caller chooses.
    """

    __slots__ = (
        "_count",
        "_kept_from",
        "_longest_s",
        "_out",
        "_taken",
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
        self._taken: list[SeqRange] = []
        self._waiting: list[SeqRange] = []
        self._out: list[_OutstandingBatch] = []

    @property
    def unconfirmed(self) -> int:
        """Return how many readings are waiting or outstanding."""
        return size(self._waiting) + sum(size(sent.ranges) for sent in self._out)

    def fill(self, count: int, there: Iterable[SeqRange] | None = None) -> None:
        """Add the readings taken since the last call; `count` is how many numbers the boot has used so far.

        `there` holds the new numbers that there is a reading for; None means all of them.
        """
        if count > self._count:
            new = [(self._count, count - 1)] if there is None else there
            self._waiting = union([*self._waiting, *new])
            self._taken = union([*self._taken, *new])
            self._count = count

    def overwrite(self, before: int) -> int:
        """Lose every unconfirmed reading with a number below `before`, and return how many are newly lost.

        Outstanding readings are lost too, as they cannot be sent again. If one turns out to be stored,
        `confirm` takes it back.
        """
        if before <= self._kept_from:
            return 0
        old, kept = [(self._kept_from, before - 1)], [(before, self._count)]
        lost = intersection(self._waiting, old) + [
            r for sent in self._out for r in intersection(sent.ranges, old)
        ]
        self.overwritten = union([*self.overwritten, *lost])
        self._keep(kept)
        self._kept_from = before
        return size(lost)

    def take(self, now_s: float) -> list[list[SeqRange]]:
        """Return the batches to send now: those overdue for confirmation, then as many new ones as fit."""
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
        """Forget what the service has stored, and return how many readings that were.

        What was confirmed before stays in the memory until it is overwritten. Where the service has lost it, it is sent
        again.
        """
        before = self.unconfirmed
        absent = union([*ack.missing, (ack.highest + 1, self._count)])
        self.overwritten = intersection(self.overwritten, absent)
        self._keep(absent)
        confirmed = before - self.unconfirmed
        if ack.resend:
            self._send_again(absent)
        if confirmed:
            # The service is there after all, so what it lacks need not wait as long as if it were away.
            for sent in self._out:
                sent.tries = min(sent.tries, MOST_DOUBLINGS)
                sent.due_s = min(sent.due_s, now_s + self._timeout_s * 2**MOST_DOUBLINGS)
        return confirmed

    def _send_again(self, absent: list[SeqRange]) -> None:
        """Let readings wait that the service lacks, that were confirmed, and that are not overwritten."""
        kept = intersection(intersection(self._taken, [(self._kept_from, self._count - 1)]), absent)
        pending = union([*self._waiting, *(r for sent in self._out for r in sent.ranges)])
        self._waiting = union([*self._waiting, *difference(kept, pending)])

    def _keep(self, ranges: list[SeqRange]) -> None:
        self._waiting = intersection(self._waiting, ranges)
        for sent in self._out:
            sent.ranges = intersection(sent.ranges, ranges)
        self._out = [sent for sent in self._out if sent.ranges]

    def recall(self) -> None:
        """Let everything outstanding wait again: after a silence, nobody answers what was sent before it."""
        self._waiting = union([*self._waiting, *(r for sent in self._out for r in sent.ranges)])
        self._out = []

    def due_s(self) -> float | None:
        """Return when the next confirmation is overdue; None while nothing is outstanding."""
        return min((sent.due_s for sent in self._out), default=None)
