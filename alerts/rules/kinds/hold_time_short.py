"""Pure: whether nitrogen or dry ice lasts until arrival, reported hours before it runs out.

Theory of operation. `coolant_left.py` follows what is left, bin by bin of event time, and estimates until
when it lasts. `fold` compares that with the arrival and updates what is reported, with hysteresis and in
steps. Between two bins, and in silence, nothing changes except that an overdue arrival slides on. So `look`
can continue from the fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar, NamedTuple

from alerts import wording
from alerts.excursions.trace import Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.bins import Open, columns_of, fold_bins
from alerts.rules.blocks.coolant_filter import Left
from alerts.rules.blocks.coolant_left import (
    CHANNELS,
    HoldTimeTuning,
    LastBin,
    Vessel,
    begun,
    estimated,
    followed,
    surely_until,
    vessel_of,
)
from alerts.rules.blocks.window import in_window
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, Finding, Look, Moment, ShipmentRule

_HOUR = 3600 * SECOND


class Shortage(NamedTuple):
    """The reported shortage: its interval, figures that move in steps, and since when the coolant looks short.

    The figures are as of `at`, and mean nothing while `since` is None.
    """

    looks_since: Instant | None = None
    judged_at: Instant = 0
    since: Instant | None = None
    until: Instant | None = None
    critical: bool = False
    at: Instant = 0
    lo: Instant = 0
    mid: Instant = 0
    hi: Instant = 0
    arrival: Instant = 0
    gone: bool = False
    on_its_side: bool = False
    dropped_at: Instant | None = None

    @property
    def on(self) -> bool:
        return self.since is not None and self.until is None


_LEFT, _COURSE, _TOLD = Left(), LastBin(), Shortage()


@dataclass(frozen=True, slots=True)
class HoldTimeState:
    """The state of one logger; `left.at` is 0 before its first bin is closed."""

    bins: Open = ()
    left: Left = _LEFT
    course: LastBin = _COURSE
    told: Shortage = _TOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTime:
    """The current estimate, for pages and the API: how long the coolant lasts and what that leaves at arrival.

    `left_h` is earliest, expected and latest (5th, 50th, 95th percentile), from the instant asked about.
    """

    estimated_at: Instant
    left_h: tuple[float, float, float]
    arrival: Instant | None
    margin_h: float | None
    """Hours from the expected arrival to the expected end of the coolant; None if no arrival is planned."""
    measured: bool
    """Whether the estimate includes a measured mass."""


class HoldTimeShort(ShipmentRule[HoldTimeTuning, HoldTimeState]):
    """The nitrogen or dry ice will not last until arrival."""

    kind: ClassVar[AlertKind] = AlertKind.HOLD_TIME_SHORT
    tuning = HoldTimeTuning
    state = HoldTimeState
    ranges: ClassVar = {
        "bin_s": (0.05, 3600),
        "margin_s": (0, 30 * 86400),
        "slide_s": (0, 30 * 86400),
        "clear_s": (0, 30 * 86400),
        "clear_share": (0, 1),
        "patience": (0, 1),
        "step_share": (0, 1),
        "step_s": (0, 86400),
        "rate": (0.25, 10),
        "rate_sd": (0, 5),
        "ahead_sd": (0, 2),
        "ice_rate": (0.25, 10),
        "ice_rate_sd": (0, 5),
        "charge_sd": (0, 1),
        "tilt_loss": (0, 1000),
        "tilt_loss_sd": (0, 1000),
        "down_loss": (1, 100),
        "upright_deg": (0, 89),
        "outlasts": (0, 100),
        "lid_loss": (0, 1000),
        "drop_g": (1, 10_000),
        "drop_sd": (0, 100),
        "mass_sd_kg": (0.0001, 10),
        "drift_sd": (0, 10),
        "warm_c": (0.5, 100),
        "warm_bins": (1, 100),
        "rise_c": (0, 100),
        "dry_ice_warm_c": (-78, -20),
    }

    def fold(self, tuning: HoldTimeTuning, facts: Facts, state: HoldTimeState, trace: Trace) -> HoldTimeState:
        """Fold readings into bins, and each closed bin into the estimate and the shortage."""
        vessel = vessel_of(facts)
        if vessel is None:
            return state
        trace = in_window(facts.window, trace)
        columns = columns_of(trace, CHANNELS)
        bins, closed = fold_bins(round(tuning.bin_s * SECOND), state.bins, trace.at, columns)
        left, course, told = state.left, state.course, state.told
        no_hurry = False
        for one, then in zip_longest(closed, [later.closed_at for later in closed[1:]]):
            if left.at and not no_hurry:
                told = _carried(tuning, facts, course, told, one.closed_at)
            left, course = followed(tuning, facts, vessel, left, course, one)
            no_hurry = then is not None and _has_time(tuning, facts, vessel, left, course, told, then)
            if no_hurry:
                told = told._replace(judged_at=one.closed_at)
            else:
                course = estimated(tuning, vessel, left, course)
                told = _judged(tuning, facts, course, told, one.closed_at)
        return HoldTimeState(bins, left, course, told)

    def look(
        self, tuning: HoldTimeTuning, facts: Facts, states: Sequence[HoldTimeState], moment: Moment
    ) -> Look:
        """Continue to the time of the look: without readings, only a sliding arrival can cause a shortage."""
        vessel = vessel_of(facts)
        if vessel is None:
            return NOTHING
        state = _best(tuning, facts, vessel, states)
        through = moment.through if moment.over is None else moment.over
        told = _carried(tuning, facts, state.course, state.told, through)
        found = None if told.since is None else _found(facts, vessel, told, moment.over)
        if moment.over is not None:
            return Look(found=found)
        coming = [at for at in _turns(tuning, state.course, told) if at > through]
        return Look(found=found, again_at=min(coming, default=None))


HOLD_TIME_SHORT = HoldTimeShort()


def hold_time(
    tuning: HoldTimeTuning, facts: Facts, states: Sequence[HoldTimeState], through: Instant
) -> HoldTime | None:
    """Return the estimate as of an instant; None if the dewar's hold time is unknown."""
    vessel = vessel_of(facts)
    if vessel is None:
        return None
    state = _best(tuning, facts, vessel, states)
    course = state.course
    arrival = None if _planned(facts) is None else _arrival(tuning, facts, through)
    lo, mid, hi = (max(0.0, (at - through) / _HOUR) for at in (course.lo, course.mid, course.hi))
    return HoldTime(
        estimated_at=state.left.at,
        left_h=(lo, mid, hi),
        arrival=arrival,
        margin_h=None if arrival is None else (course.mid - arrival) / _HOUR,
        measured=course.weighed,
    )


def _best(
    tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, states: Sequence[HoldTimeState]
) -> HoldTimeState:
    """Return the state of the best logger: one that is up to date and measures the mass, or else the tilt.

    Among equals it is the one with the earliest end. Before any reading, the fillings on record count.
    """
    known = [state for state in states if state.left.at]
    if not known:
        at = facts.window.departed_at
        left, course = begun(tuning, facts, vessel, at)
        return HoldTimeState((), left, course, _judged(tuning, facts, course, Shortage(), at))
    newest = max(state.left.at for state in known)
    up_to_date = [state for state in known if newest - state.left.at <= vessel.hold_time // 20]
    return max(
        up_to_date, key=lambda state: (state.course.weighed, state.course.tilt_known, -state.course.lo)
    )


# What is reported


def _planned(facts: Facts) -> Instant | None:
    if facts.planned_arrival is not None:
        return facts.planned_arrival
    return facts.legs[-1].planned_arrival if facts.legs else None


def _arrival(tuning: HoldTimeTuning, facts: Facts, at: Instant) -> Instant:
    """Return the arrival to expect as of an instant: if overdue or not planned, it slides along."""
    return max(_planned(facts) or 0, at + round(tuning.slide_s * SECOND))


def _turns(tuning: HoldTimeTuning, course: LastBin, told: Shortage) -> tuple[Instant, ...]:
    """Return when time alone changes the shortage: it looks short, is reported, becomes critical."""
    slide, margin = round(tuning.slide_s * SECOND), round(tuning.margin_s * SECOND)
    if told.on:
        return () if told.critical else (course.mid - slide + 1,)
    if told.looks_since is None:
        return (course.lo - margin - slide + 1,)
    return (_tells_at(tuning, course, told.looks_since),)


def _tells_at(tuning: HoldTimeTuning, course: LastBin, looks_since: Instant) -> Instant:
    """Return when it has looked short for the share of what is then left that `patience` asks for."""
    spare = tuning.patience / (1 + tuning.patience)
    return looks_since + max(0, round(spare * (course.lo - looks_since)))


def _carried(
    tuning: HoldTimeTuning, facts: Facts, course: LastBin, told: Shortage, through: Instant
) -> Shortage:
    """Update the shortage by time alone."""
    for _ in range(3):  # looks short, is reported, is critical
        for at in _turns(tuning, course, told):
            if at <= through:
                told = _judged(tuning, facts, course, told, max(at, told.judged_at))
    return told


def _has_time(
    tuning: HoldTimeTuning,
    facts: Facts,
    vessel: Vessel,
    left: Left,
    course: LastBin,
    told: Shortage,
    then: Instant,
) -> bool:
    """Return whether nothing is reported, and cannot be before `then`, whatever the exact estimate."""
    if told.looks_since is not None or told.on or course.gone_since is not None:
        return False
    least = _arrival(tuning, facts, then) + round(tuning.margin_s * SECOND)
    return surely_until(tuning, vessel, left, course) >= least


def _judged(tuning: HoldTimeTuning, facts: Facts, course: LastBin, told: Shortage, at: Instant) -> Shortage:
    """Compare the estimate with the arrival, with hysteresis."""
    arrival = _arrival(tuning, facts, at)
    margin = round(tuning.margin_s * SECOND)
    clear = round(tuning.clear_s * SECOND + tuning.clear_share * max(0, course.lo - at))
    gone = course.gone_since is not None
    looks = told.looks_since is not None
    if not gone and course.lo >= arrival + margin + (clear if looks else 0):
        return told._replace(judged_at=at, looks_since=None, until=at if told.on else told.until)
    told = told._replace(judged_at=at, looks_since=told.looks_since if looks else at)
    assert told.looks_since is not None
    if not told.on and not gone and at < _tells_at(tuning, course, told.looks_since):
        return told
    critical = gone or course.mid < arrival + (clear if told.on and told.critical else 0)
    if told.on and critical == told.critical and gone == told.gone and not _moved(tuning, course, told, at):
        return told
    return Shortage(
        looks_since=told.looks_since,
        judged_at=at,
        since=told.since if told.on else at,
        critical=critical,
        at=at,
        lo=course.lo,
        mid=course.mid,
        hi=course.hi,
        arrival=arrival,
        gone=gone,
        on_its_side=course.tilted_since is not None,
        dropped_at=None if course.weighed else course.dropped_at,
    )


def _moved(tuning: HoldTimeTuning, course: LastBin, told: Shortage, at: Instant) -> bool:
    step = max(tuning.step_share * max(0, told.mid - at), tuning.step_s * SECOND)
    return abs(course.mid - told.mid) > step or abs(course.lo - told.lo) > step


def _found(facts: Facts, vessel: Vessel, told: Shortage, over: Instant | None) -> Finding:
    assert told.since is not None
    until = told.until if told.until is not None else over
    return Finding(
        severity=Severity.CRITICAL if told.critical else Severity.MAJOR,
        message=_message(facts, vessel, told),
        since=told.since,
        until=None if until is None else max(until, told.since),
        details=_details(facts, told),
    )


def _message(facts: Facts, vessel: Vessel, told: Shortage) -> str:
    coolant, when = vessel.coolant, _time(facts, told.arrival)
    if told.gone:
        return (
            f"The {coolant} is used up since {_time(facts, told.mid)}, and the payload warms: "
            "move it to a charged shipper, or charge this one, now"
        )
    due = f"arrival planned for {when}" if _planned(facts) == told.arrival else f"no arrival before {when}"
    side = ", lying on its side" if told.on_its_side else ""
    if told.dropped_at is not None:
        side += f"; it was dropped {_time(facts, told.dropped_at)}, and may have lost its vacuum"
    text = f"The {coolant} is expected to last until {_time(facts, told.mid)}, at the earliest {_time(facts, told.lo)}{side}; {due}"
    if told.critical:
        gap = wording.duration(max(0, told.arrival - told.mid))
        return f"{text}: {gap} too short. {_remedy(told)}"
    return f"{text}: no safe margin. {_remedy(told)}"


def _remedy(told: Shortage) -> str:
    if told.on_its_side:
        return "Have it stood upright at once, and plan a charge on the way"
    if told.dropped_at is not None:
        return "Have it weighed or looked after: frost on the outside says that the vacuum is gone; then charge or change it"
    return "Have it charged on the way, or bring it in sooner"


def _details(facts: Facts, told: Shortage) -> dict[str, Any]:
    left: list[Duration] = [max(0, at - told.at) for at in (told.lo, told.mid, told.hi)]
    return {
        "estimated_at": _time(facts, told.at),
        "hold_time_left_h": [round(length / _HOUR, 1) for length in left],
        "lasts_until": [_time(facts, at) for at in (told.lo, told.mid, told.hi)],
        "arrival": _time(facts, told.arrival),
        "arrival_is_planned": _planned(facts) == told.arrival,
        "margin_h": round((told.mid - told.arrival) / _HOUR, 1),
    }


def _time(facts: Facts, at: Instant) -> str:
    return wording.instant(facts.on_the_clock(at))
