"""Pure: readings that the logger counted but that never arrived: its memory overflowed or was lost.

A hole in the sequence numbers alone means little, since late readings may fill it. So it is reported only
when it has stayed open for a while. A restart starts the numbers again. Numbers that fall within one boot are
a clock fault (clock_skew.py), and fill holes like any other.
"""

from dataclasses import dataclass
from math import isnan
from typing import ClassVar, NamedTuple

import numpy as np

from alerts.alert_kinds import KINDS
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, LookTime, Tuning

_SEVERITY = KINDS[AlertKind.LOGGER_MEMORY_GAP].severity

UNNUMBERED = -1.0
MAX_HOLES = 16
"""This many of the newest holes are kept individually; older ones are only counted."""

MIN_INTERVAL: Duration = SECOND
"""No logger measures more often: if more numbers are missing than could be measured, the counter jumped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerMemoryGapTuning(Tuning):
    """When missing readings are reported.

    An upload after a long flight takes minutes, over a bad network some hours: hence 3 hours. Every
    missing reading counts, since a record for a batch release is complete or it is not.
    """

    patience_s: float = 10_800
    least_missing: float = 1.0


class Hole(NamedTuple):
    """The first and last missing number, the readings around them, and when the later of these had arrived."""

    first: int
    last: int
    since: Instant
    until: Instant
    known_at: Instant
    boot: float


@dataclass(frozen=True, slots=True)
class LoggerMemoryGapState:
    """The highest number of the newest boot and its instant; the newest holes; and a summary of older ones."""

    boot: float = UNNUMBERED
    seq: float = UNNUMBERED
    at: Instant = 0
    holes: tuple[tuple[int, int, Instant, Instant, Instant, float], ...] = ()
    older: int = 0
    older_since: Instant | None = None


class LoggerMemoryGap(DeviceRule[LoggerMemoryGapTuning, LoggerMemoryGapState]):
    """Numbers that are missing between two readings of one boot."""

    kind: ClassVar[AlertKind] = AlertKind.LOGGER_MEMORY_GAP
    tuning = LoggerMemoryGapTuning
    state = LoggerMemoryGapState
    reads = frozenset({Channel.SEQ})
    also_reads = frozenset({Channel.BOOT, Channel.RECEIVED_AT})
    ranges: ClassVar = {"patience_s": (0, 2_592_000), "least_missing": (1, 1_000_000)}

    def fold(
        self, tuning: LoggerMemoryGapTuning, facts: Facts, state: LoggerMemoryGapState, trace: Trace
    ) -> LoggerMemoryGapState:
        """Follow the sequence numbers."""
        del tuning
        trace = in_transit(facts.window, trace)
        if Channel.SEQ not in trace.channels or not len(trace):
            return state
        if len(trace) == 1 and (after := _fold_next_number(state, trace)) is not None:
            return after
        return _fold_numbers(state, trace)

    def look(
        self, tuning: LoggerMemoryGapTuning, facts: Facts, state: LoggerMemoryGapState, look_time: LookTime
    ) -> Look:
        """Report what has been missing for long enough; the clock raises it, late readings end it."""
        if not state.holes and not state.older:
            return NOTHING
        patience = round(tuning.patience_s * SECOND)
        holes = [Hole(*hole) for hole in state.holes]
        reported = [hole for hole in holes if look_time.through - hole.known_at >= patience]
        again_at = min((hole.known_at + patience for hole in holes if hole not in reported), default=None)
        missing = state.older + sum(hole.last - hole.first + 1 for hole in reported)
        found = None
        if missing >= max(tuning.least_missing, 1):
            since = min(
                [hole.since for hole in reported] if state.older_since is None else [state.older_since]
            )
            found = _found(facts, missing, since, reported, look_time.shipment_ended_at)
        return Look(found=found, again_at=None if look_time.shipment_ended_at is not None else again_at)


def _found(facts: Facts, missing: int, since: Instant, reported: list[Hole], over: Instant | None) -> Finding:
    details: dict[str, object] = {"missing": missing}
    where = ""
    if reported:
        start, end = reported[-1].since, reported[-1].until
        details |= {"newest_from": clock_detail(facts, start), "newest_until": clock_detail(facts, end)}
        if len(reported) == 1 and missing == reported[0].last - reported[0].first + 1:
            where = f" between {clock_text(facts, start)} and {clock_text(facts, end)}"
    what = "1 reading was measured and" if missing == 1 else f"{missing} readings were measured and"
    return Finding(
        severity=_SEVERITY,
        message=f"{what} never came{where}: the record has a hole; read the logger out before it is set up anew",
        since=since,
        until=over,
        details=details,
    )


def _fold_next_number(state: LoggerMemoryGapState, trace: Trace) -> LoggerMemoryGapState | None:
    """Fold a single reading with the next number, which is the usual case; None for any other."""
    channels = trace.channels
    seq = float(channels[Channel.SEQ][0])
    boot = float(channels[Channel.BOOT][0]) if Channel.BOOT in channels else UNNUMBERED
    if seq != state.seq + 1 or state.seq == UNNUMBERED or (UNNUMBERED if isnan(boot) else boot) != state.boot:
        return None
    if any(hole[1] >= seq for hole in state.holes):
        return None
    return LoggerMemoryGapState(
        state.boot, seq, int(trace.at[0]), state.holes, state.older, state.older_since
    )


def _fold_numbers(state: LoggerMemoryGapState, trace: Trace) -> LoggerMemoryGapState:
    """Fold sequence numbers; only those that are not the next are visited one by one."""
    seq = trace.channels[Channel.SEQ]
    known = np.flatnonzero(~np.isnan(seq))
    if not len(known):
        return state
    none = np.full(len(trace), np.nan)
    received = trace.channels.get(Channel.RECEIVED_AT, none)[known]
    at, seq = trace.at[known], seq[known]
    boot = trace.channels.get(Channel.BOOT, none)[known]
    boot = np.where(np.isnan(boot), UNNUMBERED, boot)
    running = _HoleFold(state)
    is_jump = (np.diff(seq, prepend=state.seq) != 1) | (np.diff(boot, prepend=state.boot) != 0)
    is_jump[0] |= state.seq == UNNUMBERED
    start = 0
    for jump in [*np.flatnonzero(is_jump).tolist(), len(seq)]:
        if jump > start:  # consecutive numbers may lie in a hole if the clock was set back
            running.consecutive(float(seq[start]), float(seq[jump - 1]), int(at[jump - 1]))
        if jump < len(seq):
            arrived = received[jump]
            known_at = int(at[jump]) if isnan(arrived) else int(arrived)
            running.jump(float(boot[jump]), float(seq[jump]), int(at[jump]), known_at)
        start = jump + 1
    return running.state()


class _HoleFold:
    """The variables of a running fold."""

    def __init__(self, state: LoggerMemoryGapState) -> None:
        self._boot, self._seq, self._at = state.boot, state.seq, state.at
        self._holes = [Hole(*hole) for hole in state.holes]
        self._older, self._older_since = state.older, state.older_since

    def jump(self, boot: float, seq: float, at: Instant, known_at: Instant) -> None:
        """Add a number that is not the next."""
        if boot != self._boot or self._seq == UNNUMBERED:
            self._boot, self._seq, self._at = boot, seq, at
        elif seq > self._seq:
            if 0 < seq - self._seq - 1 <= (at - self._at) / MIN_INTERVAL:
                self._open(Hole(int(self._seq) + 1, int(seq) - 1, self._at, at, known_at, boot))
            self._seq, self._at = seq, at
        if self._holes:
            self._fill(int(seq), int(seq))

    def consecutive(self, first: float, last: float, at: Instant) -> None:
        """Add consecutive numbers."""
        if last > self._seq:
            self._seq, self._at = last, at
        if self._holes:
            self._fill(int(first), int(last))

    def _open(self, hole: Hole) -> None:
        self._holes.append(hole)
        if len(self._holes) > MAX_HOLES:
            oldest = self._holes.pop(0)
            self._older += oldest.last - oldest.first + 1
            self._older_since = oldest.since if self._older_since is None else self._older_since

    def _fill(self, first: int, last: int) -> None:
        left: list[Hole] = []
        for hole in self._holes:
            if hole.boot != self._boot or first > hole.last or last < hole.first:
                left.append(hole)
                continue
            parts = hole._replace(last=first - 1), hole._replace(first=last + 1)
            left += [part for part in parts if part.first <= part.last]
        self._holes = left[-MAX_HOLES:]

    def state(self) -> LoggerMemoryGapState:
        """Return the variables as a state."""
        holes = tuple(tuple(hole) for hole in self._holes)
        return LoggerMemoryGapState(self._boot, self._seq, self._at, holes, self._older, self._older_since)  # type: ignore[arg-type]


LOGGER_MEMORY_GAP = LoggerMemoryGap()
