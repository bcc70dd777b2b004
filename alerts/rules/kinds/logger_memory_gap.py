"""Pure: readings that the logger counted but that never arrived: its memory overflowed or was lost.

A hole in the sequence numbers alone means little, since late readings may fill it. So it is reported only
when it has stayed open for a while. What came and was refused, or came first without its number, has come: such
numbers are known from what is acknowledged to the logger (`Facts.came`), and end an alert. A restart starts the numbers again. Numbers that fall within one boot are
a clock fault (clock_skew.py), and fill holes like any other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import ClassVar, NamedTuple, TypeAlias

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
MIXED = -2.0
MAX_HOLES = 16
"""This many of the newest holes are kept individually; of older ones only how many are missing between which numbers."""
MAX_SPANS = 8
"""Of so many boots; of still older ones only how many are missing."""

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


class Span(NamedTuple):
    """Numbers of one boot with older holes among them, and how many were missing; `MIXED`: of several boots."""

    boot: float
    first: int
    last: int
    missing: int


@dataclass(frozen=True, slots=True)
class LoggerMemoryGapState:
    """The highest number of the newest boot and its instant; the newest holes; and a summary of older ones."""

    boot: float = UNNUMBERED
    seq: float = UNNUMBERED
    at: Instant = 0
    holes: tuple[tuple[int, int, Instant, Instant, Instant, float], ...] = ()
    older: tuple[tuple[float, int, int, int], ...] = ()
    older_since: Instant | None = None


class LoggerMemoryGap(DeviceRule[LoggerMemoryGapTuning, LoggerMemoryGapState]):
    """Numbers that are missing between two readings of one boot."""

    kind: ClassVar[AlertKind] = AlertKind.LOGGER_MEMORY_GAP
    tuning = LoggerMemoryGapTuning
    state = LoggerMemoryGapState
    version: ClassVar[int] = 2
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
        came = facts.came.get(look_time.device_id or "", {})
        holes = [part for hole in state.holes for part in _still_missing(Hole(*hole), came)]
        older = sum(_missing_of(Span(*span), came) for span in state.older)
        reported = [hole for hole in holes if look_time.through - hole.known_at >= patience]
        again_at = min((hole.known_at + patience for hole in holes if hole not in reported), default=None)
        missing = older + sum(hole.last - hole.first + 1 for hole in reported)
        found = None
        if missing >= max(tuning.least_missing, 1):
            since = min(
                [state.older_since]
                if older and state.older_since is not None
                else [hole.since for hole in reported]
            )
            found = _found(facts, missing, since, reported, look_time.shipment_ended_at)
        return Look(found=found, again_at=None if look_time.shipment_ended_at is not None else again_at)


def may_lack(state: LoggerMemoryGapState | None, trace: Trace) -> bool:
    """Return whether a logger may have holes once a trace is folded in, so that it must be known what came."""
    if state is not None and (state.holes or state.older):
        return True
    seq = trace.channels.get(Channel.SEQ)
    if seq is None or not len(seq):
        return False
    goes_on = state is None or state.seq == UNNUMBERED or seq[0] == state.seq + 1
    return not goes_on or bool((np.diff(seq) != 1).any())


Came: TypeAlias = Mapping[int, Sequence[tuple[int, int]]]
"""By boot, 0 for none: ranges of numbers that came, ascending, first and last included."""


def _still_missing(hole: Hole, came: Came) -> Iterator[Hole]:
    """Yield the parts of a hole that have not come in any way."""
    for first, last in _gaps(hole.first, hole.last, came.get(_boot(hole.boot), ())):
        yield hole._replace(first=first, last=last)


def _missing_of(span: Span, came: Came) -> int:
    """Return how many numbers of a span are missing still."""
    if span.boot == MIXED:
        return span.missing
    left = _gaps(span.first, span.last, came.get(_boot(span.boot), ()))
    return min(span.missing, sum(last - first + 1 for first, last in left))


def _gaps(first: int, last: int, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        if high < first:
            continue
        if low > last:
            break
        if low > first:
            yield first, low - 1
        first = high + 1
    if first <= last:
        yield first, last


def _boot(boot: float) -> int:
    return 0 if boot == UNNUMBERED else int(boot)


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
            self._older = _with_older(self._older, oldest)
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


def _with_older(
    older: tuple[tuple[float, int, int, int], ...], hole: Hole
) -> tuple[tuple[float, int, int, int], ...]:
    """Return the spans with one more hole, later than all of them."""
    spans, missing = [Span(*span) for span in older], hole.last - hole.first + 1
    if spans and spans[-1].boot == hole.boot:
        last = spans.pop()
        spans.append(
            Span(hole.boot, min(last.first, hole.first), max(last.last, hole.last), last.missing + missing)
        )
    else:
        spans.append(Span(hole.boot, hole.first, hole.last, missing))
    if len(spans) > MAX_SPANS:
        spans[:2] = [Span(MIXED, 0, 0, spans[0].missing + spans[1].missing)]
    return tuple(tuple(span) for span in spans)  # type: ignore[misc]


LOGGER_MEMORY_GAP = LoggerMemoryGap()
