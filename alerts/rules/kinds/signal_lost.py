"""Pure: a logger that is silent, or that no longer reports its position.

It is only about now: a gap that stored readings have filled, or that was over before anybody looked, raises
nothing; the observed time shows it. By default, a logger may be silent for as long as its readings hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import isnan
from typing import ClassVar, Final

import numpy as np

from alerts.alert_kinds import KINDS
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant
from alerts.rules.blocks.clock_text import clock_text
from alerts.rules.facts import Facts
from alerts.rules.rule import DeviceRule, Finding, Look, LookTime, Tuning
from telemetry.fixes import is_fine, is_fix
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
    lat: float = 0.0
    lon: float = 0.0
    """The newest position; 0, 0 while there is none."""
    repeats: bool = False
    """Whether the newest position is, to the metre, the one before: then `position_at` is when it came first."""
    searching_since: Instant | None = None
    """The first reading of a receiver that had no fix, while there has been no position at all."""


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
        announced = trace.channels.get(Channel.FLIGHT_MODE_UNTIL)
        if announced is None and Channel.LAT not in trace.channels:  # often
            return replace(state, seen=seen, quiet_until=None)
        located, place = _locate(state, trace)
        quiet_until, grounded_at = None, located.grounded_at
        if announced is not None:
            ends = np.minimum(announced, trace.at + LONGEST_SILENCE)  # NaN where nothing was announced
            quiet_until = None if np.isnan(ends[-1]) else int(ends[-1])
            if len(known := ends[place:][~np.isnan(ends[place:])]):
                grounded_at = max(int(known.max()), grounded_at or 0)
        return replace(located, seen=seen, quiet_until=quiet_until, grounded_at=grounded_at)

    def look(
        self, tuning: SignalLostTuning, facts: Facts, state: SignalLostState, look_time: LookTime
    ) -> Look:
        """Report a logger as silent once its newest reading no longer holds and an announced silence is over."""
        position = self._position(tuning, facts, state)
        also_found = {} if position is None else {POSITION: position}
        # It is missed as if a reading had come when the departure was told: what was before that is history.
        since = heard_until(
            max(look_time.watched_from, state.seen or look_time.watched_from),
            _fresh_for(tuning, facts, look_time.device_id),
            state.quiet_until,
            longest=LONGEST_SILENCE,
            landing=round(tuning.landing_s * SECOND),
        )
        if look_time.through < since:
            return Look(again_at=since, also_found=also_found)
        return Look(found=_silence(facts, state, since), also_found=also_found)

    def ended_at(
        self, states: Sequence[SignalLostState], since: Instant, name: str | None = None
    ) -> Instant | None:
        """Return the newest reading, or position, as the end; None if nothing was heard: then it never held."""
        [state] = states
        last = state.position_at if name == POSITION else state.seen
        return None if last is None or last < since else last

    def _position(self, tuning: SignalLostTuning, facts: Facts, state: SignalLostState) -> Finding | None:
        """Find a missing position, but not of a logger that is silent altogether."""
        known_at = state.searching_since if state.position_at is None else state.position_at
        if known_at is None or state.seen is None:
            return None  # it may never send positions
        from_ = max(known_at, state.grounded_at or known_at)
        since = from_ + round(tuning.position_max_gap_s * SECOND)
        if state.seen < since:
            return None
        what, why = "No position", ""
        if state.position_at is None:
            why = ": its receiver finds no satellites"
        elif state.repeats:
            what, why = "No new position", ": its receiver repeats the last one to the metre"
        return Finding(
            severity=_SEVERITY,
            message=f"{what} since {clock_text(facts, known_at)}, though the logger is heard{why}",
            since=since,
            details={"channel": POSITION},
        )


def _locate(state: SignalLostState, trace: Trace) -> tuple[SignalLostState, int]:
    """Return the state after the positions of a trace, and the index of the newest that says something new; 0 for none.

    The same to the metre again, from satellites, is no news: some receivers repeat what they had last when they have no fix.
    """
    lats = trace.channels.get(Channel.LAT)
    if lats is None:
        return state, 0
    if len(trace) == 1:
        return _locate_one(state, trace, float(lats[0])), 0
    lons = np.nan_to_num(trace.channels.get(Channel.LON, np.zeros(len(trace))))
    there = is_fix(lats, lons)
    places = np.flatnonzero(there)
    if not len(places):
        lost = np.flatnonzero(~np.isnan(lats))
        if state.position_at is None and state.searching_since is None and len(lost):
            return replace(state, searching_since=int(trace.at[lost[0]])), 0
        return state, 0
    lat, lon = lats[places], lons[places]
    before_lat, before_lon = np.append(state.lat, lat[:-1]), np.append(state.lon, lon[:-1])
    repeats = (lat == before_lat) & (lon == before_lon) & is_fine(lat, lon)
    after = replace(
        state, lat=float(lat[-1]), lon=float(lon[-1]), repeats=bool(repeats[-1]), searching_since=None
    )
    new = places[~repeats]
    if not len(new):
        return after, 0
    place = int(new[-1])
    return replace(after, position_at=int(trace.at[place]), grounded_at=None), place


def _locate_one(state: SignalLostState, trace: Trace, lat: float) -> SignalLostState:
    """Return the state after the position of one reading, NaN for none: the same, without the cost of columns."""
    lons, at = trace.channels.get(Channel.LON), int(trace.at[0])
    lon = 0.0 if lons is None or isnan(lons[0]) else float(lons[0])
    if isnan(lat):
        return state
    if not is_fix(lat, lon):
        unknown = state.position_at is None and state.searching_since is None
        return replace(state, searching_since=at) if unknown else state
    repeats = lat == state.lat and lon == state.lon and bool(is_fine(lat, lon))
    if repeats:
        return replace(state, repeats=True)
    return SignalLostState(seen=state.seen, quiet_until=state.quiet_until, position_at=at, lat=lat, lon=lon)


def _fresh_for(tuning: SignalLostTuning, facts: Facts, device_id: str | None) -> Duration:
    """Return how old the newest reading of a logger may be."""
    interval = None if device_id is None else facts.interval.get(device_id)
    max_gap = facts.plan.max_gap if tuning.max_gap_s is None else round(tuning.max_gap_s * SECOND)
    return round(fresh_for(interval, tuning.intervals, otherwise=max_gap))


def _silence(facts: Facts, state: SignalLostState, since: Instant) -> Finding:
    if state.seen is None:
        return Finding(severity=_SEVERITY, message="No reading since departure", since=since)
    message = f"No reading since {clock_text(facts, state.seen)}"
    if state.quiet_until is not None and state.quiet_until < since:
        message += f"; the silence it announced ended {clock_text(facts, state.quiet_until)}"
    return Finding(severity=_SEVERITY, message=message, since=since)
