"""Pure: the logger's clock is wrong, as far as the arrival times of its readings show.

What can be known. A reading never arrives before it is measured. One that does proves that the clock is
ahead, by at least that much. A late arrival says little: the reading was delayed, or kept during a flight, or
the clock is behind. Only the newest reading of an upload has not waited. If even that one is late in upload
after upload, for hours, and always by the same delay, the clock is behind. A logger that works off a backlog
in step with its readings looks the same, but there the delay grew while sequence numbers and time went on as
usual, which no clock that is set back does. Readings more than five minutes ahead are refused on receipt, so
a clock that is a whole hour ahead is not seen here at all.

A clock that was set back between two readings shows in their numbers: seq grows while time falls. In order of
time, seq then falls. A single fall, in a logger that does not number its restarts, is a restart.
"""

from dataclasses import dataclass
from math import isnan
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts import wording
from alerts.alert_kinds import KINDS
from alerts.excursions.trace import Channel, Instants, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant
from alerts.rules.blocks.burst import NO_BURST, Burst, BurstTiming, fold_burst
from alerts.rules.blocks.symptoms import Symptom, merge_symptoms
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Look, LookTime, Tuning

_SEVERITY = KINDS[AlertKind.CLOCK_SKEW].severity

Numbers: TypeAlias = NDArray[np.float64]

MINUTE: Duration = 60 * SECOND
HOUR: Duration = 60 * MINUTE
MIN_UPLOADS = 6
"""This many uploads must be late by the same delay."""
MISSING = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkewTuning(Tuning):
    """When a clock is wrong.

    Quartz clocks lose or gain 4 to 11 s a day, so 120 s is more than a long journey; 5 minutes ahead,
    readings are refused. A clock that is behind is reported from 20 minutes on, since mobile networks
    cause some delay, and only after 3 hours of uploads whose delays differ by at most 10 minutes. A clock
    that was ahead or jumped is reported until it has been right for 6 hours.
    """

    ahead_s: float = 120
    behind_s: float = 1200
    differ_s: float = 600
    lasts_s: float = 10_800
    quiet_s: float = 21_600


class LateUploads(NamedTuple):
    """Uploads in a row that are late by the same: since when, how many, the least and greatest delay, the newest.

    `explained` if they began with a delay that grew while seq and time went on: a backlog, not the clock.
    """

    since: Instant | None = None
    uploads: int = 0
    least: Duration = 0
    most: Duration = 0
    last: Instant = 0
    explained: bool = False


class NewestReading(NamedTuple):
    """The newest reading with an arrival time; MISSING is a number that it does not carry.

    `previous_delay` is the delay of the upload before its own, MISSING if there was none. `follows` says
    that since that one numbers and time went on as usual: if it waited longer then, it waited in a queue.
    """

    at: Instant = 0
    received_at: Instant = 0
    boot: float = MISSING
    seq: float = MISSING
    previous_delay: float = MISSING
    follows: bool = False


class LastNumbered(NamedTuple):
    """The newest reading that has a number."""

    boot: float = MISSING
    seq: float = MISSING


_ON_TIME, _NONE, _UNNUMBERED = LateUploads(), NewestReading(), LastNumbered()


@dataclass(frozen=True, slots=True)
class ClockSkewState:
    """Bursts of readings from the future and of falling numbers; the late uploads, current and confirmed.

    The peak of `ahead` is in seconds.
    """

    ahead: Burst = NO_BURST
    falls: Burst = NO_BURST
    late: LateUploads = _ON_TIME
    confirmed: LateUploads = _ON_TIME
    confirmed_until: Instant | None = None
    newest: NewestReading = _NONE
    numbered: LastNumbered = _UNNUMBERED


class ClockSkew(DeviceRule[ClockSkewTuning, ClockSkewState]):
    """A clock that is ahead, behind or set back."""

    kind: ClassVar[AlertKind] = AlertKind.CLOCK_SKEW
    tuning = ClockSkewTuning
    state = ClockSkewState
    reads = frozenset({Channel.RECEIVED_AT, Channel.SEQ})
    also_reads = frozenset({Channel.BOOT})
    ranges: ClassVar = {
        "ahead_s": (1, 300),
        "behind_s": (1, 86_400),
        "differ_s": (1, 86_400),
        "lasts_s": (1, 604_800),
        "quiet_s": (1, 604_800),
    }

    def fold(
        self, tuning: ClockSkewTuning, facts: Facts, state: ClockSkewState, trace: Trace
    ) -> ClockSkewState:
        """Follow how late readings arrive, and whether their numbers grow with time."""
        del facts
        if len(trace) == 1 and (after := _fold_normal_reading(tuning, state, trace)) is not None:
            return after
        if not trace.channels.keys() & self.reads:
            return state
        received, seq = trace.channels.get(Channel.RECEIVED_AT), trace.channels.get(Channel.SEQ)
        nothing = np.full(len(trace), np.nan)
        seq = nothing if seq is None else seq
        boot = _or_missing(trace.channels.get(Channel.BOOT, nothing))
        falls, numbered = _find_falling_numbers(tuning, state, trace.at, boot, seq)
        ahead, uploads = state.ahead, (state.late, state.confirmed, state.confirmed_until, state.newest)
        if received is not None and len(known := np.flatnonzero(~np.isnan(received))):
            at, arrived = trace.at[known], received[known].astype(np.int64)
            ahead = fold_burst(_ahead(tuning), ahead, at, (at - arrived) / SECOND)
            numbers = _or_missing(seq[known])
            uploads = _fold_uploads(tuning, state, np.array((at, arrived)), np.array((boot[known], numbers)))
        return ClockSkewState(ahead, falls, *uploads, numbered)

    def look(self, tuning: ClockSkewTuning, facts: Facts, state: ClockSkewState, look_time: LookTime) -> Look:
        """Report how the clock is wrong, by the newest evidence."""
        del facts
        symptoms = []
        seen = max(state.newest.at, state.ahead.last, state.falls.last)
        if state.ahead.since is not None:
            symptoms.append(_symptom_ahead(state.ahead, state.ahead.ended_at(_ahead(tuning), seen)))
        if state.falls.since is not None and max(state.falls.peak, state.falls.times) >= 2:
            symptoms.append(_symptom_set_back(state.falls, state.falls.ended_at(_set_back(tuning), seen)))
        if _is_confirmed(tuning, state.late):
            symptoms.append(_symptom_behind(state.late, None))
        elif state.confirmed.since is not None:
            symptoms.append(_symptom_behind(state.confirmed, state.confirmed_until))
        return Look(found=merge_symptoms(symptoms, look_time.shipment_ended_at)) if symptoms else NOTHING


def _or_missing(numbers: Numbers) -> Numbers:
    return np.where(np.isnan(numbers), MISSING, numbers)


def _fold_normal_reading(
    tuning: ClockSkewTuning, state: ClockSkewState, trace: Trace
) -> ClockSkewState | None:
    """Fold a single reading that arrived normally, which is the usual case; None for any other."""
    channels = trace.channels
    if Channel.RECEIVED_AT not in channels or state.late.since is not None:
        return None
    at, arrived = int(trace.at[0]), float(channels[Channel.RECEIVED_AT][0])
    boot = float(channels[Channel.BOOT][0]) if Channel.BOOT in channels else MISSING
    seq = float(channels[Channel.SEQ][0]) if Channel.SEQ in channels else MISSING
    boot, seq = MISSING if isnan(boot) else boot, MISSING if isnan(seq) else seq
    before, limit = state.newest, tuning.behind_s * SECOND
    if not -0.5 * tuning.ahead_s * SECOND < arrived - at < limit:  # or NaN
        return None
    if before.received_at - before.at >= limit or (
        seq != MISSING and boot == state.numbered.boot and seq <= state.numbered.seq
    ):
        return None
    ended, follows = before.previous_delay, before.follows
    if before.at and not 2 * (int(arrived) - before.received_at) < at - before.at:
        ended, follows = float(before.received_at - before.at), _follow(before.boot, before.seq, boot, seq)
    newest = NewestReading(at, int(arrived), boot, seq, ended, follows)
    numbered = state.numbered if seq == MISSING else LastNumbered(boot, seq)
    return ClockSkewState(
        state.ahead, state.falls, state.late, state.confirmed, state.confirmed_until, newest, numbered
    )


def _follow(boot_before: float, before: float, boot: float, seq: float) -> bool:
    return boot == boot_before and seq == before + 1 and before != MISSING


def _find_falling_numbers(
    tuning: ClockSkewTuning, state: ClockSkewState, at: Instants, boot: Numbers, seq: Numbers
) -> tuple[Burst, LastNumbered]:
    """Find numbers that fall although time grows; where restarts are numbered, that counts twice."""
    known = np.flatnonzero(~np.isnan(seq))
    if not len(known):
        return state.falls, state.numbered
    boots, numbers = np.append(state.numbered.boot, boot[known]), np.append(state.numbered.seq, seq[known])
    fell = (np.diff(numbers) < 0) & (np.diff(boots) == 0)
    values = np.where(fell, np.where(boots[1:] == MISSING, 1.0, 2.0), 0.0)
    numbered = LastNumbered(float(boots[-1]), float(numbers[-1]))
    return fold_burst(_set_back(tuning), state.falls, at[known], values), numbered


def _fold_uploads(
    tuning: ClockSkewTuning, state: ClockSkewState, times: Instants, numbers: Numbers
) -> tuple[LateUploads, LateUploads, Instant | None, NewestReading]:
    """Fold uploads. Rows: when measured, when arrived; boot, seq.

    The next reading is of the same upload if it came after less than half of the time between both.
    """
    before = state.newest
    if before.at:
        times = np.insert(times, 0, (before.at, before.received_at), axis=1)
        numbers = np.insert(numbers, 0, (before.boot, before.seq), axis=1)
    measured, arrived = times
    ends = np.flatnonzero(~(2 * np.diff(arrived) < np.diff(measured)))
    delays = (arrived - measured)[ends]
    follows = (np.diff(numbers[0]) == 0) & (np.diff(numbers[1]) == 1) & (numbers[1, :-1] != MISSING)
    late, confirmed, until = state.late, state.confirmed, state.confirmed_until
    ended, follow = before.previous_delay, before.follows
    if late.since is not None or (len(ends) and delays.max() >= tuning.behind_s * SECOND):
        for place, delay in zip(ends.tolist(), delays.tolist(), strict=True):
            at = int(measured[place])
            after = _add_upload(
                tuning, late, at, delay, queued=follow, grew=delay - ended if ended != MISSING else 0
            )
            if after.since != late.since and _is_confirmed(tuning, late):
                confirmed, until = late, at
            late, ended, follow = after, float(delay), bool(follows[place])
    elif len(ends):
        ended, follow = float(delays[-1]), bool(follows[ends[-1]])
    newest = NewestReading(
        int(measured[-1]), int(arrived[-1]), float(numbers[0, -1]), float(numbers[1, -1]), ended, follow
    )
    return late, confirmed, until, newest


def _add_upload(
    tuning: ClockSkewTuning, late: LateUploads, at: Instant, delay: Duration, *, queued: bool, grew: float
) -> LateUploads:
    """Return the late uploads after one more, the newest reading of which came `delay` after it was measured."""
    differ = tuning.differ_s * SECOND
    if delay < tuning.behind_s * SECOND:
        return _ON_TIME
    if late.since is not None and max(late.most, delay) - min(late.least, delay) <= differ:
        least, most = min(late.least, delay), max(late.most, delay)
        return LateUploads(late.since, late.uploads + 1, least, most, at, late.explained)
    explained = queued and (grew > differ or (late.since is not None and late.explained))
    return LateUploads(at, 1, delay, delay, at, explained)


def _is_confirmed(tuning: ClockSkewTuning, late: LateUploads) -> bool:
    if late.since is None or late.explained or late.uploads < MIN_UPLOADS:
        return False
    return late.last - late.since >= tuning.lasts_s * SECOND


def _symptom_ahead(ahead: Burst, until: Instant | None) -> Symptom:
    assert ahead.since is not None
    seconds = round(ahead.peak // 30 * 30)  # in steps: each new peak would be a revision
    by = wording.duration(seconds * SECOND)
    return Symptom(
        severity=_SEVERITY,
        message=f"Logger's clock is at least {by} ahead: its readings came before the time they carry; {_CONSEQUENCE}",
        since=ahead.since,
        until=until,
        details={"ahead_s": seconds},
    )


def _symptom_set_back(falls: Burst, until: Instant | None) -> Symptom:
    assert falls.since is not None
    return Symptom(
        severity=_SEVERITY,
        message=f"Logger's clock was set back: its readings are numbered in another order than they are timed; {_CONSEQUENCE}",
        since=falls.since,
        until=until,
    )


def _symptom_behind(late: LateUploads, until: Instant | None) -> Symptom:
    assert late.since is not None
    minutes = round(late.least / MINUTE / 5) * 5
    by = wording.duration(minutes * MINUTE)
    zone = minutes >= 60 and minutes % 30 == 0
    why = ", as if set to another time zone" if zone else ""
    return Symptom(
        severity=_SEVERITY,
        message=f"Logger's clock is about {by} behind{why}: every upload for hours came so late; {_CONSEQUENCE}",
        since=late.since,
        until=until,
        details={"behind_s": minutes * 60, "time_zone": zone},
    )


_CONSEQUENCE = "the times of its excursions are wrong by that; set it, and note it in the record"


def _ahead(tuning: ClockSkewTuning) -> BurstTiming:
    quiet = round(tuning.quiet_s * SECOND)
    return BurstTiming(raise_at=tuning.ahead_s, keep_at=tuning.ahead_s / 2, quiet=quiet)


def _set_back(tuning: ClockSkewTuning) -> BurstTiming:
    return BurstTiming(raise_at=1.0, keep_at=1.0, quiet=round(tuning.quiet_s * SECOND))


CLOCK_SKEW = ClockSkew()
