"""Pure: which of the readings that were sent are not confirmed yet."""

from simulators.replay.contents import numbers_in, readings_in
from simulators.wire.ack import Ack
from simulators.wire.message import RecordedMessage


class UnconfirmedReadings:
    """The readings with numbers that were sent, and are not confirmed as stored yet."""

    def __init__(self) -> None:
        self.numbered = 0
        self.stored = 0
        self._sent: dict[tuple[str, int], set[int]] = {}
        self._open: dict[tuple[str, int], set[int]] = {}

    @property
    def left(self) -> int:
        """Return how many readings are not confirmed."""
        return self.numbered - self.stored

    def sent(self, message: RecordedMessage) -> int:
        """Add the readings of a message that is being sent, and return how many it has.

        Sent twice, a reading counts once.
        """
        readings = readings_in(message)
        for boot, seq in numbers_in(readings):
            sent = self._sent.setdefault((message.device_id, boot), set())
            if seq not in sent:
                sent.add(seq)
                self._open.setdefault((message.device_id, boot), set()).add(seq)
                self.numbered += 1
        return len(readings)

    def lacks(self, message: RecordedMessage) -> bool:
        """Whether a message has a reading that is not confirmed."""
        return any(
            seq in self._open.get((message.device_id, boot), ())
            for boot, seq in numbers_in(readings_in(message))
        )

    def confirm(self, device_id: str, ack: Ack) -> None:
        """Remove what the service has confirmed."""
        waiting = self._open.get((device_id, ack.boot), set())
        absent: set[int] = set()
        for first, last in ack.missing:
            # Go through the shorter of the two: the missing stretch, or what is waited for.
            few = range(first, last + 1) if last - first < len(waiting) else waiting
            absent.update(seq for seq in few if first <= seq <= last)
        here = {seq for seq in waiting if seq <= ack.highest} - absent
        self.stored += len(here)
        waiting -= here
