"""Pure: which changes of an excursion are told, and when those of a peak are that moves with each reading.

The invariant, by the instants as of which is judged, which never go back for a shipment:

- Whatever is not a peak alone that moves further out while its run goes on is told as it is recorded.
- A moved peak is told once `every` has passed since anything was last told of the excursion, and only if it lies more
  than `by_c` beyond the peak that was told then. At that instant it is told though no reading comes.
- What is told has the newest state. So the event that closes an excursion has its last peak, told before or not.

What was last told is stored with the excursion. So neither restarts nor the order of readings make a difference, nor how
often a shipment is judged.
"""

from dataclasses import dataclass, replace
from typing import Final

from alerts.model import (
    SECOND,
    Change,
    Duration,
    Excursion,
    ExcursionState,
    Instant,
    LastTold,
    Reason,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakTelling:
    """How often, and from what growth in °C on, a peak that moves is told."""

    every: Duration = 600 * SECOND
    by_c: float = 1.0


DEFAULT_PEAK_TELLING: Final = PeakTelling()


def as_told(change: Change, now: Instant, peaks: PeakTelling) -> Change:
    """Return a change with whether it is told now, and what has been told of the excursion after it."""
    if change.before is None or not _only_moves_the_peak(change):
        return replace(change, after=_told(change.after, now))
    known = change.before.told or LastTold(now, change.before.run.peak_c)
    grown = replace(change.after, told=known)
    due_at = telling_due_at(grown, now, peaks)
    if due_at is not None and due_at <= now:
        return replace(change, after=_told(grown, now))
    return replace(change, after=grown, is_told=False)


def told_late(excursion: Excursion, now: Instant, peaks: PeakTelling) -> Excursion | None:
    """Return an excursion that nothing has changed now as it is once its peak is told; None if that is not due."""
    due_at = telling_due_at(excursion, now, peaks)
    return None if due_at is None or due_at > now else _told(excursion, now)


def telling_due_at(excursion: Excursion, now: Instant, peaks: PeakTelling) -> Instant | None:
    """Return when the peak of an excursion is to be told; None if what was told of it is near enough."""
    told = excursion.told
    if excursion.state is not ExcursionState.OPEN or told is None:
        return None
    if abs(excursion.run.peak_c - told.peak_c) <= peaks.by_c:
        return None
    # What was told in the future was told by a clock that was ahead: nobody knows how long ago that is.
    return now if told.at > now else told.at + peaks.every


def _only_moves_the_peak(change: Change) -> bool:
    return change.reason is Reason.PEAK_MOVED and change.fields == ("peak_c",)


def _told(excursion: Excursion, now: Instant) -> Excursion:
    return replace(excursion, told=LastTold(now, excursion.run.peak_c))
