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
from alerts.rules.blocks.bins import OpenBin, bin_columns, fold_bins
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.coolant_filter import CoolantLeft
from alerts.rules.blocks.coolant_left import (
    CHANNELS,
    HoldTimeTuning,
    LastBin,
    Vessel,
    fold_bin,
    initial_estimate,
    lasts_at_least_until,
    vessel_of,
    with_estimate,
)
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.blocks.itinerary import planned_arrival
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, Finding, Look, LookTime, ShipmentRule

_HOUR = 3600 * SECOND
_WORTH_SAYING: Duration = 60 * SECOND
"""A shorter gap is none to be named: the estimate is not that exact."""


class Shortage(NamedTuple):
    """The reported shortage: its interval, figures that move in steps, and since when the coolant looks short.

    The figures are as of `at`, and mean nothing while `since` is None.
    """

    short_since: Instant | None = None
    judged_at: Instant = 0
    since: Instant | None = None
    until: Instant | None = None
    critical: bool = False
    at: Instant = 0
    earliest: Instant = 0
    expected: Instant = 0
    latest: Instant = 0
    arrival: Instant = 0
    used_up: bool = False
    on_its_side: bool = False
    dropped_at: Instant | None = None

    @property
    def active(self) -> bool:
        return self.since is not None and self.until is None


_LEFT, _COURSE, _TOLD = CoolantLeft(), LastBin(), Shortage()


@dataclass(frozen=True, slots=True)
class HoldTimeShortState:
    """The state of one logger; `left.at` is 0 before its first bin is closed."""

    bins: OpenBin = ()
    left: CoolantLeft = _LEFT
    last: LastBin = _COURSE
    reported: Shortage = _TOLD


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


class HoldTimeShort(ShipmentRule[HoldTimeTuning, HoldTimeShortState]):
    """The nitrogen or dry ice will not last until arrival."""

    kind: ClassVar[AlertKind] = AlertKind.HOLD_TIME_SHORT
    tuning = HoldTimeTuning
    state = HoldTimeShortState
    looks_ahead = True
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

    def fold(
        self, tuning: HoldTimeTuning, facts: Facts, state: HoldTimeShortState, trace: Trace
    ) -> HoldTimeShortState:
        """Fold readings into bins, and each closed bin into the estimate and the shortage."""
        vessel = vessel_of(facts)
        if vessel is None:
            return state
        trace = in_transit(facts.window, trace)
        columns = bin_columns(facts.plan, trace, CHANNELS)
        bins, closed = fold_bins(round(tuning.bin_s * SECOND), state.bins, trace.at, columns)
        left, last, reported = state.left, state.last, state.reported
        surely_enough = False
        for bin_, then in zip_longest(closed, [later.closed_at for later in closed[1:]]):
            if left.at and not surely_enough:
                reported = _advance_clock(tuning, facts, last, reported, bin_.closed_at)
            left, last = fold_bin(tuning, facts, vessel, left, last, bin_)
            surely_enough = then is not None and _surely_enough(
                tuning, facts, vessel, left, last, reported, then
            )
            if surely_enough:
                reported = reported._replace(judged_at=bin_.closed_at)
            else:
                last = with_estimate(tuning, vessel, left, last)
                reported = _update_shortage(tuning, facts, last, reported, bin_.closed_at)
        return HoldTimeShortState(bins, left, last, reported)

    def look(
        self, tuning: HoldTimeTuning, facts: Facts, states: Sequence[HoldTimeShortState], look_time: LookTime
    ) -> Look:
        """Continue to the time of the look: without readings, only a sliding arrival can cause a shortage."""
        vessel = vessel_of(facts)
        if vessel is None:
            return NOTHING
        state = _best_informed(tuning, facts, vessel, states)
        through = look_time.through if look_time.shipment_ended_at is None else look_time.shipment_ended_at
        reported = _advance_clock(tuning, facts, state.last, state.reported, through)
        found = (
            None if reported.since is None else _found(facts, vessel, reported, look_time.shipment_ended_at)
        )
        if look_time.shipment_ended_at is not None:
            return Look(found=found)
        coming = [at for at in _next_changes(tuning, state.last, reported) if at > through]
        return Look(found=found, again_at=min(coming, default=None))


HOLD_TIME_SHORT = HoldTimeShort()


def hold_time(
    tuning: HoldTimeTuning, facts: Facts, states: Sequence[HoldTimeShortState], through: Instant
) -> HoldTime | None:
    """Return the estimate as of an instant; None if the dewar's hold time is unknown."""
    vessel = vessel_of(facts)
    if vessel is None:
        return None
    state = _best_informed(tuning, facts, vessel, states)
    last = state.last
    arrival = None if planned_arrival(facts) is None else _expected_arrival(tuning, facts, through)
    earliest, expected, latest = (
        max(0.0, (at - through) / _HOUR) for at in (last.earliest, last.expected, last.latest)
    )
    return HoldTime(
        estimated_at=state.left.at,
        left_h=(earliest, expected, latest),
        arrival=arrival,
        margin_h=None if arrival is None else (last.expected - arrival) / _HOUR,
        measured=last.mass_known,
    )


def _best_informed(
    tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, states: Sequence[HoldTimeShortState]
) -> HoldTimeShortState:
    """Return the state of the best logger: one that is up to date and measures the mass, or else the tilt.

    Among equals it is the one with the earliest end. Before any reading, the fillings on record count.
    """
    known = [state for state in states if state.left.at]
    if not known:
        at = facts.window.departed_at
        left, last = initial_estimate(tuning, facts, vessel, at)
        return HoldTimeShortState((), left, last, _update_shortage(tuning, facts, last, Shortage(), at))
    newest = max(state.left.at for state in known)
    up_to_date = [state for state in known if newest - state.left.at <= vessel.hold_time // 20]
    return max(
        up_to_date, key=lambda state: (state.last.mass_known, state.last.tilt_known, -state.last.earliest)
    )


# What is reported


def _expected_arrival(tuning: HoldTimeTuning, facts: Facts, at: Instant) -> Instant:
    """Return the arrival to expect as of an instant: if overdue or not planned, it slides along."""
    return max(planned_arrival(facts) or 0, at + round(tuning.slide_s * SECOND))


def _next_changes(tuning: HoldTimeTuning, last: LastBin, reported: Shortage) -> tuple[Instant, ...]:
    """Return when time alone changes the shortage: it looks short, is reported, becomes critical."""
    slide, margin = round(tuning.slide_s * SECOND), round(tuning.margin_s * SECOND)
    if reported.active:
        return () if reported.critical else (last.expected - slide + 1,)
    if reported.short_since is None:
        return (last.earliest - margin - slide + 1,)
    return (_reported_from(tuning, last, reported.short_since),)


def _reported_from(tuning: HoldTimeTuning, last: LastBin, short_since: Instant) -> Instant:
    """Return when it has looked short for the share of what is then left that `patience` asks for."""
    share = tuning.patience / (1 + tuning.patience)
    return short_since + max(0, round(share * (last.earliest - short_since)))


def _advance_clock(
    tuning: HoldTimeTuning, facts: Facts, last: LastBin, reported: Shortage, through: Instant
) -> Shortage:
    """Update the shortage by time alone."""
    for _ in range(3):  # looks short, is reported, is critical
        for at in _next_changes(tuning, last, reported):
            if at <= through:
                reported = _update_shortage(tuning, facts, last, reported, max(at, reported.judged_at))
    return reported


def _surely_enough(
    tuning: HoldTimeTuning,
    facts: Facts,
    vessel: Vessel,
    left: CoolantLeft,
    last: LastBin,
    reported: Shortage,
    then: Instant,
) -> bool:
    """Return whether nothing is reported, and cannot be before `then`, whatever the exact estimate."""
    if reported.short_since is not None or reported.active or last.empty_since is not None:
        return False
    least = _expected_arrival(tuning, facts, then) + round(tuning.margin_s * SECOND)
    return lasts_at_least_until(tuning, vessel, left, last) >= least


def _update_shortage(
    tuning: HoldTimeTuning, facts: Facts, last: LastBin, reported: Shortage, at: Instant
) -> Shortage:
    """Compare the estimate with the arrival, with hysteresis."""
    arrival = _expected_arrival(tuning, facts, at)
    margin = round(tuning.margin_s * SECOND)
    clear = round(tuning.clear_s * SECOND + tuning.clear_share * max(0, last.earliest - at))
    used_up = last.empty_since is not None
    looks_short = reported.short_since is not None
    if not used_up and last.earliest >= arrival + margin + (clear if looks_short else 0):
        return reported._replace(
            judged_at=at, short_since=None, until=at if reported.active else reported.until
        )
    reported = reported._replace(judged_at=at, short_since=reported.short_since if looks_short else at)
    assert reported.short_since is not None
    if not reported.active and not used_up and at < _reported_from(tuning, last, reported.short_since):
        return reported
    critical = used_up or last.expected < arrival + (clear if reported.active and reported.critical else 0)
    if (
        reported.active
        and critical == reported.critical
        and used_up == reported.used_up
        and not _moved(tuning, last, reported, at)
    ):
        return reported
    return Shortage(
        short_since=reported.short_since,
        judged_at=at,
        since=reported.since if reported.active else at,
        critical=critical,
        at=at,
        earliest=last.earliest,
        expected=last.expected,
        latest=last.latest,
        arrival=arrival,
        used_up=used_up,
        on_its_side=last.tilted_since is not None,
        dropped_at=None if last.mass_known else last.dropped_at,
    )


def _moved(tuning: HoldTimeTuning, last: LastBin, reported: Shortage, at: Instant) -> bool:
    step = max(tuning.step_share * max(0, reported.expected - at), tuning.step_s * SECOND)
    return abs(last.expected - reported.expected) > step or abs(last.earliest - reported.earliest) > step


def _found(facts: Facts, vessel: Vessel, reported: Shortage, over: Instant | None) -> Finding:
    assert reported.since is not None
    until = reported.until if reported.until is not None else over
    return Finding(
        severity=Severity.CRITICAL if reported.critical else Severity.MAJOR,
        message=_message(facts, vessel, reported),
        since=reported.since,
        until=None if until is None else max(until, reported.since),
        details=_details(facts, reported),
    )


def _message(facts: Facts, vessel: Vessel, reported: Shortage) -> str:
    coolant, when = vessel.coolant, clock_text(facts, reported.arrival)
    if reported.used_up:
        return (
            f"The {coolant} has been used up since {clock_text(facts, reported.expected)}, and the payload warms: "
            "move it to a charged shipper, or charge this one, now"
        )
    due = (
        f"arrival planned for {when}"
        if planned_arrival(facts) == reported.arrival
        else f"no arrival before {when}"
    )
    side = ", lying on its side" if reported.on_its_side else ""
    if reported.dropped_at is not None:
        side += f"; it was dropped {clock_text(facts, reported.dropped_at)}, and may have lost its vacuum"
    text = f"The {coolant} is expected to last until {clock_text(facts, reported.expected)}, at the earliest {clock_text(facts, reported.earliest)}{side}; {due}"
    if reported.critical:
        gap = reported.arrival - reported.expected
        short = (
            f"{wording.duration(gap)} too short" if gap >= _WORTH_SAYING else "more likely than not too short"
        )
        return f"{text}: {short}. {_remedy(reported)}"
    return f"{text}: no safe margin. {_remedy(reported)}"


def _remedy(reported: Shortage) -> str:
    if reported.on_its_side:
        return "Have it stood upright at once, and plan a charge on the way"
    if reported.dropped_at is not None:
        return "Have it weighed or looked after: frost on the outside says that the vacuum is gone; then charge or change it"
    return "Have it charged on the way, or bring it in sooner"


def _details(facts: Facts, reported: Shortage) -> dict[str, Any]:
    left: list[Duration] = [
        max(0, at - reported.at) for at in (reported.earliest, reported.expected, reported.latest)
    ]
    return {
        "estimated_at": clock_detail(facts, reported.at),
        "hold_time_left_h": [round(length / _HOUR, 1) for length in left],
        "lasts_until": [
            clock_detail(facts, at) for at in (reported.earliest, reported.expected, reported.latest)
        ],
        "arrival": clock_detail(facts, reported.arrival),
        "arrival_is_planned": planned_arrival(facts) == reported.arrival,
        "margin_h": round((reported.expected - reported.arrival) / _HOUR, 1),
    }
