"""Pure: the payload's probe is broken or reads something else, so that the payload's temperature is unknown.

A fault is never silent. A fault that breaks the readings themselves causes no excursion (fold.py ignores
them). A fault that only looks implausible leaves the excursions of its readings, and warns beside them not to
trust the probe.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf
from typing import ClassVar

import numpy as np

from alerts.excursions.plan import Plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.dwell import NOT_HELD, Held, held
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.payload import MINUTE, PACKS, medium
from alerts.rules.blocks.probe import CHANGES, HOUR, NEVER, UNSEEN, Doubt, Probe, near_counts
from alerts.rules.blocks.probe_columns import Floats, follow
from alerts.rules.blocks.signs import Sign, together
from alerts.rules.blocks.window import in_window
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Look, Moment, Tuning

LEARNED = 12
"""After this many readings of both probes, their usual difference is known."""
MOST_WARMER_C = 4.0
"""Below the payload it is colder by at most this: over liquid nitrogen the bottom is at −195 °C. A larger
difference means that the probe is in the neck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distrust(Tuning):
    """When a probe is not trusted.

    `hottest_c` is more than a closed vehicle in the sun reaches. Probes and their loggers are off by some
    0.5 °C each, so readings within 1.5 °C of the air are the air, if they got there at once, follow it
    without a lag, or the band is 20 °C away. Heat comes from outside, so the payload is not warmer by 4
    °C than the neck above it for 30 minutes. A fault of the only probe is critical after 30 minutes,
    which is as long as a reading holds. `second_silent_s` is for loggers that seldom send the second
    probe.
    """

    hottest_c: float = 85.0
    near_c: float = 1.5
    far_c: float = 20.0
    stuck_s: float = 1200
    differ_c: float = 4.0
    differ_s: float = 1800
    second_silent_s: float = 3600
    spikes_quiet_s: float = 21_600
    critical_s: float = 1800


@dataclass(frozen=True, slots=True)
class ProbeFaultState:
    """Both probes' states, by how much the payload's was warmer at first (a sum), and for how long it is now."""

    SELDOM_CHANGES: ClassVar[Mapping[str, int]] = {"payload": CHANGES, "second": CHANGES}

    payload: Probe = UNSEEN
    second: Probe = UNSEEN
    learned: int = 0
    warmer_c: float = 0.0
    differ: Held = NOT_HELD


class ProbeFault(DeviceRule[Distrust, ProbeFaultState]):
    """A probe that is broken, out of range, jumping, spiking, stuck, or reading the air or another place."""

    kind: ClassVar[AlertKind] = AlertKind.PROBE_FAULT
    version: ClassVar[int] = 2
    tuning = Distrust
    state = ProbeFaultState
    ranges: ClassVar = {
        "hottest_c": (30, 150),
        "near_c": (0.1, 10),
        "far_c": (0, 100),
        "stuck_s": (0, 604_800),
        "differ_c": (0.5, 200),
        "differ_s": (0, 604_800),
        "second_silent_s": (0, 604_800),
        "spikes_quiet_s": (1, 604_800),
        "critical_s": (0, 604_800),
    }

    def fold(self, tuning: Distrust, facts: Facts, state: ProbeFaultState, trace: Trace) -> ProbeFaultState:
        """Follow each probe by itself, and both against each other."""
        trace = in_window(facts.window, trace)
        if not len(trace):
            return state
        doubt, second_doubt = _doubts(tuning, facts.plan)
        air = trace.channels.get(Channel.AMBIENT_C)
        payload = follow(doubt, state.payload, trace.at, trace.celsius, air)
        second = trace.channels.get(Channel.SECOND_C)
        if second is None:
            if state.learned < LEARNED or state.second.broken_since is not None:
                return ProbeFaultState(payload, state.second, state.learned, state.warmer_c, state.differ)
            second = np.full(len(trace), np.nan)
        if len(trace) == 1 and (
            after := _usual(tuning, second_doubt, state, payload, trace, float(second[0]))
        ):
            return after
        return _both(tuning, second_doubt, state, payload, trace, second)

    def look(self, tuning: Distrust, facts: Facts, state: ProbeFaultState, moment: Moment) -> Look:
        """Report all symptoms together; the clock makes a fault of the only probe critical."""
        del facts
        alone = state.second.at == NEVER
        critical_after = _duration(tuning.critical_s)
        signs: list[Sign] = []
        again: list[Instant] = []
        for message, since, until in _payload_signs(tuning, state):
            lasted = (moment.through if until is None else until) - since
            escalates = alone and message not in (_SPIKES, _DIFFER)
            critical = message == _AIR or (escalates and lasted >= critical_after)
            severity = Severity.CRITICAL if critical else Severity.MAJOR
            signs.append(Sign(severity=severity, message=message, since=since, until=until))
            if until is None and escalates and not critical:
                again.append(since + critical_after)
        for message, since, until in _second_signs(tuning, state):
            signs.append(Sign(severity=Severity.MAJOR, message=message, since=since, until=until))
        if not signs:
            return NOTHING
        again_at = min(again, default=None) if moment.over is None else None
        return Look(found=together(signs, moment.over), again_at=again_at)


_NOT_KNOWN = "the payload's temperature is not known"
_CHECK = "check its lead and seat, or send a second logger along"
_BROKEN = f"The probe is broken: {_NOT_KNOWN}; {_CHECK}"
_BEYOND = (
    f"The probe reads what no payload can have, as a broken or shorted lead does: {_NOT_KNOWN}; {_CHECK}"
)
_OFF = f"The probe jumped as no payload can: {_NOT_KNOWN} since; {_CHECK}"
_STUCK = f"The probe is stuck at one value, without the noise that it had: {_NOT_KNOWN} since; {_CHECK}"
_AIR = f"The probe reads the air outside and not the payload: {_NOT_KNOWN}; see whether it has slipped out, and put it back"
_SPIKES = (
    f"The probe gives single readings far off their neighbours: peaks of excursions may be false; {_CHECK}"
)
_DIFFER = (
    "The payload's probe reads warmer than the one above it, which it never should: they were swapped, or one is broken; "
    "believe neither before they are checked"
)
_SECOND = (
    "The second probe is broken or reads what cannot be: nothing confirms the payload's probe; check its lead"
)
_SECOND_STUCK = "The second probe is stuck at one value: nothing confirms the payload's probe; check its lead"

Stretches = Iterator[tuple[str, Instant, Instant | None]]


def _payload_signs(tuning: Distrust, state: ProbeFaultState) -> Stretches:
    probe = state.payload
    # Of symptoms that began together, the first here supplies the words.
    near_since = probe.near_since if near_counts(probe) else None
    yield from _sign(_AIR, near_since, probe.near_from, probe.near_until)
    yield from _sign(_BROKEN, probe.broken_since, probe.broken_from, probe.broken_until)
    yield from _sign(_BEYOND, probe.beyond_since, probe.beyond_from, probe.beyond_until)
    yield from _sign(_OFF, probe.off_since, probe.off_from, probe.off_until)
    yield from _sign(_STUCK, probe.stuck_since, probe.stuck_from, probe.stuck_until)
    if probe.spike_since is not None:
        ends = probe.spike_last + _duration(tuning.spikes_quiet_s)
        yield _SPIKES, probe.spike_since, ends if probe.at >= ends else None
    if (differ := state.differ.newest(_duration(tuning.differ_s))) is not None:
        yield _DIFFER, differ[0], differ[1]


def _second_signs(tuning: Distrust, state: ProbeFaultState) -> Stretches:
    probe = state.second
    seen = max(state.payload.at, probe.at)
    silent = _duration(tuning.second_silent_s)
    if probe.broken_since is not None and seen - probe.broken_since >= silent:
        yield _SECOND, probe.broken_since, None
    elif (probe.broken_until or 0) - (probe.broken_from or 0) >= silent:
        yield from _sign(_SECOND, None, probe.broken_from, probe.broken_until)
    yield from _sign(_SECOND, probe.beyond_since, probe.beyond_from, probe.beyond_until)
    yield from _sign(_SECOND_STUCK, probe.stuck_since, probe.stuck_from, probe.stuck_until)
    if probe.spike_since is not None:
        ends = probe.spike_last + _duration(tuning.spikes_quiet_s)
        yield _SECOND, probe.spike_since, ends if seen >= ends else None


def _sign(message: str, since: Instant | None, told: Instant | None, until: Instant | None) -> Stretches:
    """Yield the current interval, or else the newest that is over."""
    if since is not None:
        yield message, since, None
    elif told is not None:
        yield message, told, until


@lru_cache(maxsize=1024)
def _doubts(tuning: Distrust, plan: Plan) -> tuple[Doubt, Doubt]:
    """Return the checks of the payload's probe, and of the second in the vapour, which responds in minutes."""
    limits = plan.limits
    payload = Doubt(
        medium=medium(plan),
        hottest_c=tuning.hottest_c,
        lower_c=-inf if limits.lower_c is None else limits.lower_c,
        upper_c=inf if limits.upper_c is None else limits.upper_c,
        near_c=tuning.near_c,
        far_c=tuning.far_c,
        shifts=True,
        stuck=_duration(tuning.stuck_s),
        spikes_within=HOUR,
        spikes_quiet=_duration(tuning.spikes_quiet_s),
    )
    fast = payload.medium._replace(warms_min=1.0, cools_min=1.0)
    second = replace(
        payload, medium=fast, lower_c=-inf, upper_c=inf, near_c=-1.0, shifts=False, spikes_within=4 * MINUTE
    )
    return payload, second


def _usually(warmer_c: float) -> float:
    """Return by how much the payload's probe may always be warmer than a second one below it.

    More than `MAX_USUAL_DIFFERENCE_C` means that the payload's probe is in the neck.
    """
    return min(max(warmer_c / LEARNED, 0.0), MOST_WARMER_C)


def _usual(
    tuning: Distrust, doubt: Doubt, state: ProbeFaultState, payload: Probe, trace: Trace, second: float
) -> ProbeFaultState | None:
    """Fold a single normal reading of both, the payload's not warmer, which is the usual case; else None."""
    celsius = float(trace.celsius[0])
    if (
        state.learned < LEARNED
        or state.differ.since is not None
        or not doubt.medium.coldest_c <= celsius <= doubt.hottest_c
    ):
        return None
    if not doubt.medium.coldest_c <= second <= doubt.hottest_c:
        return None
    if celsius - second - _usually(state.warmer_c) >= tuning.differ_c:
        return None
    probe = follow(doubt, state.second, trace.at, np.array((second,)), None)
    return ProbeFaultState(payload, probe, LEARNED, state.warmer_c, state.differ)


def _both(
    tuning: Distrust, doubt: Doubt, state: ProbeFaultState, payload: Probe, trace: Trace, second: Floats
) -> ProbeFaultState:
    """Fold the second probe, which may be absent until it has come often; and compare the payload's with it."""
    celsius, given = trace.celsius, ~np.isnan(second)
    coldest, hottest = doubt.medium.coldest_c, doubt.hottest_c
    both = (celsius >= coldest) & (celsius <= hottest) & (second >= coldest) & (second <= hottest)
    before = state.learned + np.cumsum(both) - both
    expected = given | (before >= LEARNED)
    probe = state.second
    if expected.any():
        probe = follow(doubt, probe, trace.at[expected], second[expected], None)
    warmer = celsius - second
    warmer_c = state.warmer_c
    for value in warmer[both & (before < LEARNED)].tolist():
        warmer_c += value
    learned = min(LEARNED, int(before[-1]) + int(both[-1]))
    if learned < LEARNED:
        return ProbeFaultState(payload, probe, learned, warmer_c, state.differ)
    more = warmer - _usually(warmer_c)
    air = trace.channels.get(Channel.AMBIENT_C)
    if doubt.medium.coldest_c >= PACKS.coldest_c:  # the air may be colder than the payload
        more = np.minimum(more, celsius - air if air is not None else np.nan)
    more = np.where(both & (before >= LEARNED), more, np.nan)
    levels = Levels(raise_at=tuning.differ_c, clear_at=tuning.differ_c / 2, dwell=_duration(tuning.differ_s))
    return ProbeFaultState(payload, probe, learned, warmer_c, held(levels, state.differ, trace.at, more))


def _duration(seconds: float) -> Duration:
    return round(seconds * SECOND)


PROBE_FAULT = ProbeFault()
