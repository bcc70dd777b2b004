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

from alerts.excursions.disowned import disowned_values
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.blocks.measured_dwell import NO_MEASURED_EPISODE, MeasuredEpisode, fold_measured_episode
from alerts.rules.blocks.payload_physics import MINUTE, PACKS, coolant_of
from alerts.rules.blocks.probe import (
    HOUR,
    NEW_PROBE,
    NO_INSTANT,
    SELDOM_CHANGING,
    ProbeChecks,
    ProbeState,
    reads_air,
)
from alerts.rules.blocks.probe_columns import Floats, fold_probe_columns
from alerts.rules.blocks.symptoms import Symptom, merge_symptoms
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Look, LookTime, Tuning

LEARNING_READINGS = 12
"""After this many readings of both probes, their usual difference is known."""
MAX_USUAL_DIFFERENCE_C = 4.0
"""Below the payload it is colder by at most this: over liquid nitrogen the bottom is at −195 °C. A larger
difference means that the probe is in the neck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFaultTuning(Tuning):
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

    SELDOM_CHANGES: ClassVar[Mapping[str, int]] = {"payload": SELDOM_CHANGING, "second": SELDOM_CHANGING}

    payload: ProbeState = NEW_PROBE
    second: ProbeState = NEW_PROBE
    learned: int = 0
    warmer_c: float = 0.0
    differing: MeasuredEpisode = NO_MEASURED_EPISODE


class ProbeFault(DeviceRule[ProbeFaultTuning, ProbeFaultState]):
    """A probe that is broken, out of range, jumping, spiking, stuck, or reading the air or another place."""

    kind: ClassVar[AlertKind] = AlertKind.PROBE_FAULT
    version: ClassVar[int] = 3
    tuning = ProbeFaultTuning
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

    def fold(
        self, tuning: ProbeFaultTuning, facts: Facts, state: ProbeFaultState, trace: Trace
    ) -> ProbeFaultState:
        """Follow each probe by itself, and both against each other."""
        trace = in_transit(facts.window, trace)
        if not len(trace):
            return state
        checks, second_checks = _probe_checks(tuning, facts.plan)
        air = trace.channels.get(Channel.AMBIENT_C)
        payload = fold_probe_columns(checks, state.payload, trace.at, trace.celsius, air)
        second = trace.channels.get(Channel.SECOND_C)
        if second is None:
            if state.learned < LEARNING_READINGS or state.second.broken_since is not None:
                return ProbeFaultState(payload, state.second, state.learned, state.warmer_c, state.differing)
            second = np.full(len(trace), np.nan)
        if len(trace) == 1 and (
            after := _fold_normal_reading(tuning, second_checks, state, payload, trace, float(second[0]))
        ):
            return after
        return _fold_second_probe(tuning, second_checks, state, payload, trace, second)

    def look(
        self, tuning: ProbeFaultTuning, facts: Facts, state: ProbeFaultState, look_time: LookTime
    ) -> Look:
        """Report all symptoms together; the clock makes a fault of the only probe critical."""
        del facts
        alone = state.second.at == NO_INSTANT
        critical_after = _duration(tuning.critical_s)
        symptoms: list[Symptom] = []
        again: list[Instant] = []
        for message, since, until in _payload_symptoms(tuning, state):
            lasted = (look_time.through if until is None else until) - since
            escalates = alone and message not in (_SPIKES, _DIFFER)
            critical = message == _AIR or (escalates and lasted >= critical_after)
            severity = Severity.CRITICAL if critical else Severity.MAJOR
            symptoms.append(Symptom(severity=severity, message=message, since=since, until=until))
            if until is None and escalates and not critical:
                again.append(since + critical_after)
        for message, since, until in _second_symptoms(tuning, state):
            symptoms.append(Symptom(severity=Severity.MAJOR, message=message, since=since, until=until))
        if not symptoms:
            return NOTHING
        again_at = min(again, default=None) if look_time.shipment_ended_at is None else None
        return Look(found=merge_symptoms(symptoms, look_time.shipment_ended_at), again_at=again_at)


_NOT_KNOWN = "the payload's temperature is not known"
_NO_MORE = "the payload's temperature has not been known since"
_CHECK = "check its lead and seat, or send a second logger along"
_BROKEN = f"The probe is broken: {_NOT_KNOWN}; {_CHECK}"
_BEYOND = (
    f"The probe reads what no payload can have, as a broken or shorted lead does: {_NOT_KNOWN}; {_CHECK}"
)
_JUMPED = f"The probe jumped as no payload can: {_NO_MORE}; {_CHECK}"
_STUCK = f"The probe is stuck at one value, without the noise that it had: {_NO_MORE}; {_CHECK}"
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

SymptomTimes = Iterator[tuple[str, Instant, Instant | None]]


def _payload_symptoms(tuning: ProbeFaultTuning, state: ProbeFaultState) -> SymptomTimes:
    probe = state.payload
    # Of symptoms that began together, the first here supplies the words.
    near_since = probe.near_since if reads_air(probe) else None
    yield from _current_or_newest(_AIR, near_since, probe.near_from, probe.near_until)
    yield from _current_or_newest(_BROKEN, probe.broken_since, probe.broken_from, probe.broken_until)
    yield from _current_or_newest(_BEYOND, probe.beyond_since, probe.beyond_from, probe.beyond_until)
    yield from _current_or_newest(_JUMPED, probe.jumped_since, probe.jumped_from, probe.jumped_until)
    yield from _current_or_newest(_STUCK, probe.stuck_since, probe.stuck_from, probe.stuck_until)
    if probe.spike_since is not None:
        ends = probe.spike_last + _duration(tuning.spikes_quiet_s)
        yield _SPIKES, probe.spike_since, ends if probe.at >= ends else None
    if (episode := state.differing.newest(_duration(tuning.differ_s))) is not None:
        yield _DIFFER, episode[0], episode[1]


def _second_symptoms(tuning: ProbeFaultTuning, state: ProbeFaultState) -> SymptomTimes:
    probe = state.second
    seen = max(state.payload.at, probe.at)
    silent = _duration(tuning.second_silent_s)
    if probe.broken_since is not None and seen - probe.broken_since >= silent:
        yield _SECOND, probe.broken_since, None
    elif (probe.broken_until or 0) - (probe.broken_from or 0) >= silent:
        yield from _current_or_newest(_SECOND, None, probe.broken_from, probe.broken_until)
    yield from _current_or_newest(_SECOND, probe.beyond_since, probe.beyond_from, probe.beyond_until)
    yield from _current_or_newest(_SECOND_STUCK, probe.stuck_since, probe.stuck_from, probe.stuck_until)
    if probe.spike_since is not None:
        ends = probe.spike_last + _duration(tuning.spikes_quiet_s)
        yield _SECOND, probe.spike_since, ends if seen >= ends else None


def _current_or_newest(
    message: str, since: Instant | None, from_: Instant | None, until: Instant | None
) -> SymptomTimes:
    """Yield the current interval, or else the newest that is over."""
    if since is not None:
        yield message, since, None
    elif from_ is not None:
        yield message, from_, until


@lru_cache(maxsize=1024)
def _probe_checks(tuning: ProbeFaultTuning, plan: Plan) -> tuple[ProbeChecks, ProbeChecks]:
    """Return the checks of the payload's probe, and of the second in the vapour, which responds in minutes."""
    limits = plan.limits
    payload = ProbeChecks(
        coolant=coolant_of(plan),
        hottest_c=tuning.hottest_c,
        disowned=disowned_values(plan),
        lower_c=-inf if limits.lower_c is None else limits.lower_c,
        upper_c=inf if limits.upper_c is None else limits.upper_c,
        near_c=tuning.near_c,
        far_c=tuning.far_c,
        detects_shifts=True,
        stuck_after=_duration(tuning.stuck_s),
        spikes_within=HOUR,
        spikes_quiet=_duration(tuning.spikes_quiet_s),
    )
    fast = payload.coolant._replace(warms_min=1.0, cools_min=1.0)
    second = replace(
        payload,
        coolant=fast,
        lower_c=-inf,
        upper_c=inf,
        near_c=-1.0,
        detects_shifts=False,
        spikes_within=4 * MINUTE,
    )
    return payload, second


def _usual_difference(warmer_c: float) -> float:
    """Return by how much the payload's probe may always be warmer than a second one below it.

    More than `MAX_USUAL_DIFFERENCE_C` means that the payload's probe is in the neck.
    """
    return min(max(warmer_c / LEARNING_READINGS, 0.0), MAX_USUAL_DIFFERENCE_C)


def _fold_normal_reading(
    tuning: ProbeFaultTuning,
    checks: ProbeChecks,
    state: ProbeFaultState,
    payload: ProbeState,
    trace: Trace,
    second: float,
) -> ProbeFaultState | None:
    """Fold a single normal reading of both, the payload's not warmer, which is the usual case; else None."""
    celsius = float(trace.celsius[0])
    if (
        state.learned < LEARNING_READINGS
        or state.differing.since is not None
        or not checks.coolant.coldest_c <= celsius <= checks.hottest_c
    ):
        return None
    if not checks.coolant.coldest_c <= second <= checks.hottest_c:
        return None
    if celsius - second - _usual_difference(state.warmer_c) >= tuning.differ_c:
        return None
    probe = fold_probe_columns(checks, state.second, trace.at, np.array((second,)), None)
    return ProbeFaultState(payload, probe, LEARNING_READINGS, state.warmer_c, state.differing)


def _fold_second_probe(
    tuning: ProbeFaultTuning,
    checks: ProbeChecks,
    state: ProbeFaultState,
    payload: ProbeState,
    trace: Trace,
    second: Floats,
) -> ProbeFaultState:
    """Fold the second probe, which may be absent until it has come often; and compare the payload's with it."""
    celsius, present = trace.celsius, ~np.isnan(second)
    coldest, hottest = checks.coolant.coldest_c, checks.hottest_c
    both = (celsius >= coldest) & (celsius <= hottest) & (second >= coldest) & (second <= hottest)
    before = state.learned + np.cumsum(both) - both
    expected = present | (before >= LEARNING_READINGS)
    probe = state.second
    if expected.any():
        probe = fold_probe_columns(checks, probe, trace.at[expected], second[expected], None)
    warmer = celsius - second
    warmer_c = state.warmer_c
    for value in warmer[both & (before < LEARNING_READINGS)].tolist():
        warmer_c += value
    learned = min(LEARNING_READINGS, int(before[-1]) + int(both[-1]))
    if learned < LEARNING_READINGS:
        return ProbeFaultState(payload, probe, learned, warmer_c, state.differing)
    excess = warmer - _usual_difference(warmer_c)
    air = trace.channels.get(Channel.AMBIENT_C)
    if checks.coolant.coldest_c >= PACKS.coldest_c:  # the air may be colder than the payload
        excess = np.minimum(excess, celsius - air if air is not None else np.nan)
    excess = np.where(both & (before >= LEARNING_READINGS), excess, np.nan)
    levels = Levels(raise_at=tuning.differ_c, clear_at=tuning.differ_c / 2, dwell=_duration(tuning.differ_s))
    return ProbeFaultState(
        payload, probe, learned, warmer_c, fold_measured_episode(levels, state.differing, trace.at, excess)
    )


def _duration(seconds: float) -> Duration:
    return round(seconds * SECOND)


PROBE_FAULT = ProbeFault()
