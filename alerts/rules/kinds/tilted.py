"""Pure: the dewar lies on its side or is upside down, for longer than carrying it takes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alerts import wording
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Instant, Severity
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.blocks.measured_dwell import NO_MEASURED_EPISODE, MeasuredEpisode, fold_measured_episode
from alerts.rules.blocks.symptoms import Symptom, merge_symptoms
from alerts.rules.facts import Facts
from alerts.rules.rule import DeviceRule, Look, LookTime, Tuning

MINUTE = 60 * SECOND
CLEARS_BELOW_DEG = 10.0
"""A dewar counts as upright again this far below its level: a vehicle rocks it by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiltedTuning(Tuning):
    """When a dewar counts as tilted.

    Makers state the hold time of an upright dewar; on its side it can lose 60 % of it in a few hours, and
    upside down days become hours (O'Donnell, "10 things you should know about dry shippers", 2013).
    Two-wheel trolleys lean it by 30 to 40 degrees, and loading takes minutes: hence 45 degrees, and 10
    minutes. Cold vapour falls out of a mouth that points down: hence 2 minutes beyond 135 degrees.
    """

    degrees: float = 45.0
    dwell_s: float = 600
    inverted_degrees: float = 135.0
    inverted_dwell_s: float = 120


@dataclass(frozen=True, slots=True)
class TiltedState:
    """How long it lies, in degrees from upright; and how long it is upside down."""

    lying: MeasuredEpisode = NO_MEASURED_EPISODE
    inverted: MeasuredEpisode = NO_MEASURED_EPISODE


class Tilted(DeviceRule[TiltedTuning, TiltedState]):
    """A tilted dewar.

    Its duration is measured between readings, so one reading before a silence does not count.
    """

    kind: ClassVar[AlertKind] = AlertKind.TILTED
    tuning = TiltedTuning
    state = TiltedState
    reads = frozenset({Channel.TILT_DEG})
    ranges: ClassVar = {
        "degrees": (15, 120),
        "dwell_s": (0, 86_400),
        "inverted_degrees": (90, 175),
        "inverted_dwell_s": (0, 86_400),
    }

    def fold(self, tuning: TiltedTuning, facts: Facts, state: TiltedState, trace: Trace) -> TiltedState:
        """Follow the tilt."""
        trace = in_transit(facts.window, trace)
        degrees = trace.channels.get(Channel.TILT_DEG)
        if degrees is None:
            return state
        if state.lying.since is None and state.inverted.since is None:
            least = min(tuning.degrees, tuning.inverted_degrees)
            if not (degrees >= least).any():
                return state
        lying = fold_measured_episode(_levels(tuning.degrees, tuning.dwell_s), state.lying, trace.at, degrees)
        levels = _levels(tuning.inverted_degrees, tuning.inverted_dwell_s)
        return TiltedState(lying, fold_measured_episode(levels, state.inverted, trace.at, degrees))

    def look(self, tuning: TiltedTuning, facts: Facts, state: TiltedState, look_time: LookTime) -> Look:
        """Report the newest episode; it is critical if the dewar was upside down in it."""
        symptoms = []
        if (lying := state.lying.newest(_duration(tuning.dwell_s))) is not None:
            symptoms.append(_symptom(facts, Severity.MAJOR, *lying))
        if (inverted := state.inverted.newest(_duration(tuning.inverted_dwell_s))) is not None:
            symptoms.append(_symptom(facts, Severity.CRITICAL, *inverted))
            if (
                state.lying.since is not None and state.lying.since <= inverted[0]
            ):  # it still lies, though no longer upside down
                symptoms.append(_symptom(facts, Severity.MAJOR, state.lying.since, None, state.lying.peak))
        return Look(found=merge_symptoms(symptoms, look_time.shipment_ended_at))


def _symptom(facts: Facts, severity: Severity, since: Instant, until: Instant | None, peak: float) -> Symptom:
    degrees = int(np.floor(peak / 5) * 5)  # in steps: each new peak would be a revision
    inverted = severity is Severity.CRITICAL
    what = "Dewar upside down" if inverted else "Dewar tilted"
    hold = facts.dewar.hold_time if facts.dewar is not None else None
    of = f" of {wording.duration(hold)}" if hold is not None else ""
    consequence = (
        f"its hold time{of} shrinks from days to hours"
        if inverted
        else f"its hold time{of} is for a dewar that stands, and on its side it can lose more than half of it within hours"
    )
    do = "stand it up, and have it weighed or topped up before it travels on"
    return Symptom(
        severity=severity,
        message=f"{what}, {degrees}° or more from upright: {consequence}; {do}",
        since=since,
        until=until,
        details={"peak_deg": degrees},
    )


def _levels(degrees: float, dwell_s: float) -> Levels:
    return Levels(raise_at=degrees, clear_at=degrees - CLEARS_BELOW_DEG, dwell=_duration(dwell_s))


def _duration(seconds: float) -> int:
    return round(seconds * SECOND)


TILTED = Tilted()
