"""Pure: a logger that is silent, or that no longer reports its position.

It is only about now: a gap that stored readings have filled, or that was over before anybody looked, raises
nothing; the observed time shows it. By default, a logger may be silent for as long as its readings hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final

import numpy as np

from alerts.alert_kinds import KINDS
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant
from alerts.rules.blocks.clock_text import clock_text
from alerts.rules.facts import Facts
from alerts.rules.rule import DeviceRule, Finding, Look, LookTime, Tuning
from telemetry.freshness import fresh_for
from telemetry.silence import LANDING, LONGEST, heard_until

_SEVERITY = KINDS[AlertKind.SIGNAL_LOST].severity

LONGEST_SILENCE: Final[Duration] = LONGEST // timedelta(microseconds=1)
"""The longest silence that may be announced."""
POSITION: Final = "position"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLostTuning(Tuning):
    """How long a logger, and its position, may be silent."""

    max_gap_s: float | None = None
    """None: the `max_gap_s` of the plan."""
    intervals: float = 0.0
    """This many registered intervals of the logger instead; 0: not by its interval."""
    position_max_gap_s: float = 4 * 3600.0
    landing_s: float = LANDING.total_seconds()
    """Grace period after an announced silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLostState:
    """When a logger was last heard."""

    seen: Instant | None = None
    quiet_until: Instant | None = None
    """End of the silence that the newest reading announced, at most `LONGEST_SILENCE` after it."""
    position_at: Instant | None = None
    grounded_at: Instant | None = None
    """The latest end of a silence that any reading since the newest position announced."""


class SignalLost(DeviceRule[SignalLostTuning, SignalLostState]):
    """A logger that should have been heard by now."""

    kind = AlertKind.SIGNAL_LOST
    tuning = SignalLostTuning
    state = SignalLostState
    ranges: ClassVar = {
        "max_gap_s": (1, 30 * 86400),
        "intervals": (0, 1000),
        "position_max_gap_s": (60, 30 * 86400),
        "landing_s": (0, 86400),
    }
    only_ongoing = True
    looks_ahead = True
    also_finds = (POSITION,)
    also_reads = frozenset({Channel.FLIGHT_MODE_UNTIL})

    def fold(
        self, tuning: SignalLostTuning, facts: Facts, state: SignalLostState, trace: Trace
    ) -> SignalLostState:
        """Record the newest reading, the newest position, and announced silences."""
        del tuning, facts
        seen = int(trace.at[-1])
        announced, lat = trace.channels.get(Channel.FLIGHT_MODE_UNTIL), trace.channels.get(Channel.LAT)
        position_at, grounded_at, place = state.position_at, state.grounded_at, 0
        if len(trace) == 1 and announced is None:  # nearly always
            if lat is not None and lat[0] == lat[0]:
                position_at, grounded_at = seen, None
            return SignalLostState(seen=seen, position_at=position_at, grounded_at=grounded_at)
        if lat is not None and len(where := np.flatnonzero(~np.isnan(lat))):
            place = int(where[-1])
            position_at, grounded_at = int(trace.at[place]), None
        quiet_until = None
        if announced is not None:
            ends = np.minimum(announced, trace.at + LONGEST_SILENCE)  # NaN where nothing was announced
            quiet_until = None if np.isnan(ends[-1]) else int(ends[-1])
            if len(known := ends[place:][~np.isnan(ends[place:])]):
                grounded_at = max(int(known.max()), grounded_at or 0)
        return SignalLostState(
            seen=seen, quiet_until=quiet_until, position_at=position_at, grounded_at=grounded_at
        )

    def look(
        self, tuning: SignalLostTuning, facts: Facts, state: SignalLostState, look_time: LookTime
    ) -> Look:
        """Report a logger as silent once its newest reading no longer holds and an announced silence is over."""
        position = self._position(tuning, facts, state)
        also_found = {} if position is None else {POSITION: position}
        refused_at = facts.refused_at(look_time.device_id, look_time.through)
        # It is missed as if a reading had come when the departure was told: what was before that is history. What is refused
        # is no silence (`readings_refused`).
        since = heard_until(
            max(at for at in (look_time.watched_from, state.seen, refused_at) if at is not None),
            _fresh_for(tuning, facts, look_time.device_id),
            state.quiet_until,
            longest=LONGEST_SILENCE,
            landing=round(tuning.landing_s * SECOND),
        )
        if look_time.through < since:
            return Look(again_at=since, also_found=also_found)
        heard_at = facts.heard_at.get(look_time.device_id or "")
        is_heard = heard_at is not None and heard_at >= since
        return Look(found=_silence(facts, state, since, refused_at, is_heard=is_heard), also_found=also_found)

    def ended_at(
        self,
        states: Sequence[SignalLostState],
        since: Instant,
        name: str | None = None,
        heard: Instant | None = None,
    ) -> Instant | None:
        """Return the newest reading, or position, as the end; None if nothing was heard: then it never held.

        What was refused counts as heard, but not as a position.
        """
        [state] = states
        if name == POSITION:
            last = state.position_at
        else:
            last = max((at for at in (state.seen, heard) if at is not None), default=None)
        return None if last is None or last < since else last

    def _position(self, tuning: SignalLostTuning, facts: Facts, state: SignalLostState) -> Finding | None:
        """Find a missing position, but not of a logger that is silent altogether."""
        if state.position_at is None or state.seen is None:
            return None  # it may never send positions
        from_ = max(state.position_at, state.grounded_at or state.position_at)
        since = from_ + round(tuning.position_max_gap_s * SECOND)
        if state.seen < since:
            return None
        last = clock_text(facts, state.position_at)
        return Finding(
            severity=_SEVERITY,
            message=f"No position since {last}, though the logger is heard",
            since=since,
            details={
                "channel": POSITION,
                "next_action": "Ask whoever holds the shipper where it is: its temperature is known, its place is not.",
            },
        )


def _fresh_for(tuning: SignalLostTuning, facts: Facts, device_id: str | None) -> Duration:
    """Return how old the newest reading of a logger may be."""
    interval = None if device_id is None else facts.interval.get(device_id)
    max_gap = facts.plan.max_gap if tuning.max_gap_s is None else round(tuning.max_gap_s * SECOND)
    return round(fresh_for(interval, tuning.intervals, otherwise=max_gap))


def _silence(
    facts: Facts, state: SignalLostState, since: Instant, refused_at: Instant | None, *, is_heard: bool
) -> Finding:
    message = "No reading since " + ("departure" if state.seen is None else clock_text(facts, state.seen))
    if state.quiet_until is not None and state.quiet_until < since:
        message += f"; the silence it announced ended {clock_text(facts, state.quiet_until)}"
    if refused_at is not None and refused_at > (state.seen or refused_at - 1):
        message += f"; what came after it, until {clock_text(facts, refused_at)}, was refused"
    elif is_heard:
        message += (
            ", though the logger is heard: what it sends was measured before that, or its clock is wrong"
        )
    return Finding(severity=_SEVERITY, message=message, since=since)
