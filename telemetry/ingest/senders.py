"""Pure: for which loggers, and for which instants, a sender by HTTP may send readings."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from telemetry.model import Reading, Refusal, RefusalReason

AHEAD_AT_MOST: Final = timedelta(seconds=30)
"""So far ahead may lie what others than the logger send: clocks that a network sets differ by no more.

A logger whose own clock is fast by minutes may still say so itself. Of anybody else it would be a word on a time of which
nobody knows yet who will have the logger.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Part of a logger's time: from `starts_at` until before `ends_at`; None where it has not ended."""

    assignment_id: int
    starts_at: datetime
    ends_at: datetime | None
    is_open: bool
    """Whether the sender may send readings of this time."""

    def covers(self, instant: datetime) -> bool:
        """Return whether an instant lies in it."""
        return self.starts_at <= instant and (self.ends_at is None or instant < self.ends_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRights:
    """What a sender may send, judged by what was its own at the instant of each reading."""

    now: datetime
    speaks_for: frozenset[str] = frozenset()
    """The loggers it may send for at any time, as if it were they: it reads them out, or is their gateway."""
    stretches: Mapping[str, Sequence[Stretch]] = field(default_factory=dict)
    """For other loggers: their time on shipments, whosever they are."""

    def allow(self, reading: Reading) -> bool:
        """Return whether the sender may send this reading."""
        if reading.device_id in self.speaks_for:
            return True
        stretches = self.stretches.get(reading.device_id, ())
        return any(one.is_open and one.covers(reading.measured_at) for one in stretches)

    def judged(self, result: Reading | Refusal) -> Reading | Refusal:
        """Return a validated reading, or the refusal of one that the sender may not send.

        The refusal is the same whether nobody has such a logger, another has it, or the sender had it at another time.
        """
        if not isinstance(result, Reading) or result.device_id in self.speaks_for:
            return result
        if result.measured_at > self.now + AHEAD_AT_MOST:
            return self._ahead(result)
        if self.allow(result):
            return result
        at = result.measured_at.isoformat().replace("+00:00", "Z")
        return Refusal(
            reason=RefusalReason.NOT_YOURS,
            detail=f"{result.device_id} was on no shipment at {at} that this key may send readings of: "
            "ask operations to put it on the shipment for that time",
            device_id=result.device_id,
        )

    def _ahead(self, reading: Reading) -> Refusal:
        """Return the refusal of what has not happened yet: the same for every logger, and without its number."""
        most = f"{AHEAD_AT_MOST.total_seconds():.0f} seconds"
        return Refusal(
            reason=RefusalReason.CLOCK_AHEAD,
            detail=f"measured_at lies more than {most} ahead: send it again then, or have the logger send it itself",
            device_id=reading.device_id,
        )


LookUpRights: TypeAlias = Callable[[Collection[str], datetime, datetime], Awaitable[SenderRights]]
"""Finds what a sender may send of some loggers between two instants, the last one included."""


class RightsChangedError(Exception):
    """The loggers' time on shipments has changed since the rights were looked up."""
