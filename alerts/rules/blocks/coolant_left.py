"""Pure: how long a shipment's nitrogen or dry ice lasts, followed bin by bin.

Heat (ambient, lid, tilt), fillings and measurements (mass, the payload's temperature) go into the filter of
coolant_filter.py. The result is three instants at which the coolant is used up: earliest, expected and
latest.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from alerts.excursions.plan import Plan
from alerts.excursions.trace import Channel
from alerts.model import SECOND, Duration, Instant
from alerts.rules.blocks.bins import Bin
from alerts.rules.blocks.coolant_filter import (
    NEVER_EMPTY,
    Conditions,
    CoolantLeft,
    least_time_left,
    time_left,
)
from alerts.rules.facts import Charge, Dewar, Facts
from alerts.rules.rule import Tuning

CHANNELS = (Channel.LN2_KG, Channel.TILT_DEG, Channel.AMBIENT_C, Channel.LID_OPEN, Channel.SHOCK_G)
"""The columns of a bin after the payload's temperature."""
_CELSIUS, _KG, _TILT, _AMBIENT, _LID, _SHOCK = range(6)
_ROOM_C = 20.0

Coolant: TypeAlias = Literal["nitrogen", "dry ice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTimeTuning(Tuning):
    """Figures without a source are assumptions; docs/detection.md shows how well they work.

    [O'Donnell]: "10 things you should know about dry shippers", Fisher BioServices, 2013: units of one
    model differ by up to 40 %; on its side a shipper can lose 60 % of its hold time within a few hours;
    upside down, days become hours.
    """

    bin_s: float = 600
    margin_s: float = 4 * 3600
    """It should arrive at least this long before the coolant is used up."""
    slide_s: float = 3 * 3600
    """A shipment that is overdue, or without a known arrival, is not expected sooner than this from now."""
    clear_s: float = 2 * 3600
    """To end the alert, this much more is needed than what raises it,"""
    clear_share: float = 0.1
    """and this share of what is left in addition."""
    patience: float = 0.06
    """It must look short for this share of what is left before it is reported: far ahead there is time to be
    sure."""
    step_share: float = 0.15
    """The estimate is reported again when it has moved by more than this share of what is left,"""
    step_s: float = 1800
    """and by more than this."""
    rate: float = 1.12
    """Mean loss in transit as a multiple of the maker's, which is at rest,"""
    rate_sd: float = 0.18
    """and its standard deviation between units."""
    ahead_sd: float = 0.15
    """Relative standard deviation of the loss from now on: at rest it is less than in transit."""
    ice_rate: float = 0.8
    """The same for dry ice: makers of boxes promise less than they hold in a room,"""
    ice_rate_sd: float = 0.15
    """and the amount put in varies."""
    charge_sd: float = 0.03
    """Standard deviation of a filling, as a share of the capacity."""
    tilt_loss: float = 14.0
    """Mean further multiple lost on its side: 60 % of ten days within six hours is 24 times [O'Donnell],"""
    tilt_loss_sd: float = 7.0
    """which is the worst unit."""
    down_loss: float = 3.2
    """The loss upside down, as a multiple of that on its side."""
    upright_deg: float = 20.0
    outlasts: float = 3.0
    """A tilt that has lasted this long may last so many times as long again (Gott, Nature 363, 1993)."""
    lid_loss: float = 7.0
    """Further multiple lost with the lid off."""
    drop_g: float = 30.0
    """A shock of at least this may have damaged the vacuum, which only the mass can show,"""
    drop_sd: float = 2.0
    """so the rate gets this much more standard deviation, as a multiple of the maker's."""
    mass_sd_kg: float = 0.02
    """Standard deviation of a measured mass: a load cell of 10 g in motion."""
    drift_sd: float = 0.15
    """Standard deviation of the rate's drift in a tenth of the hold time."""
    warm_c: float = 6.0
    """The nitrogen is used up when the payload is this far above its resting temperature after rising
    through"""
    warm_bins: float = 3
    """so many bins in a row, by at least"""
    rise_c: float = 0.3
    """this much in each."""
    dry_ice_warm_c: float = -73.0
    """Dry ice is at -78.5 °C at most; above this it is used up."""


class LastBin(NamedTuple):
    """What the last bin showed beside the filter's state: tilt, heat and temperature; and the estimate."""

    heat: float = 1.0
    mean_heat: float = 1.0
    tilt: float = 0.0
    tilted_since: Instant | None = None
    resting_c: float | None = None
    last_c: float | None = None
    warm_bins: int = 0
    empty_since: Instant | None = None
    mass_known: bool = False
    dropped_at: Instant | None = None
    tilt_known: bool = False
    filled_at: Instant = 0
    earliest: Instant = NEVER_EMPTY
    expected: Instant = NEVER_EMPTY
    latest: Instant = NEVER_EMPTY


_RESTING_C, _TILT_KNOWN = LastBin._fields.index("resting_c"), LastBin._fields.index("tilt_known")


class Vessel(NamedTuple):
    dewar: Dewar
    hold_time: Duration
    cold_c: float
    nitrogen: bool

    @property
    def coolant(self) -> str:
        return "nitrogen" if self.nitrogen else "dry ice"


def coolant_of(plan: Plan) -> Coolant | None:
    """Return what keeps a payload of this plan cold; None if nothing that is used up."""
    upper_c = plan.limits.upper_c
    if upper_c is None or upper_c > -50:
        return None
    return "nitrogen" if upper_c <= -100 else "dry ice"


def vessel_of(facts: Facts) -> Vessel | None:
    """Return what keeps the payload cold, by its band; None if unknown, or if nothing is used up."""
    dewar, coolant = facts.dewar, coolant_of(facts.plan)
    if dewar is None or not dewar.hold_time or coolant is None:
        return None
    nitrogen = coolant == "nitrogen"
    return Vessel(dewar, dewar.hold_time, -195.8 if nitrogen else -78.5, nitrogen)


# Filter updates


def fold_bin(
    tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, left: CoolantLeft, last: LastBin, bin_: Bin
) -> tuple[CoolantLeft, LastBin]:
    """Fold one bin into the filter's state; the estimate is left to `with_estimate`, called when it matters."""
    if not left.at:
        left, filled_at = _initial(tuning, facts, vessel, bin_.start)
        last = last._replace(filled_at=filled_at)
    heat, lid, tilt = _heat_lid_tilt(tuning, vessel, last, bin_)
    mean_heat = last.mean_heat + (heat - last.mean_heat) * min(
        1.0, 20 * max(0, bin_.last_at - left.at) / vessel.hold_time
    )
    # Only what held both before and after a gap is assumed in it.
    between = min(last.tilt, tilt)
    left, last = _advance(tuning, vessel, left, last, max(left.at, bin_.start), mean_heat, between)
    left, last = _advance(tuning, vessel, left, last, bin_.last_at, heat * (1 + tuning.lid_loss * lid), tilt)
    tilted = tilt > 0.15
    tilted_since = (last.tilted_since or bin_.start) if tilted else None
    tilt_known = last.tilt_known or bin_.columns[_TILT][0] > 0
    last = LastBin._make(
        (
            heat,
            mean_heat,
            tilt,
            tilted_since,
            *last[_RESTING_C:_TILT_KNOWN],
            tilt_known,
            *last[_TILT_KNOWN + 1 :],
        )
    )
    count, _, _, hardest = bin_.columns[_SHOCK]
    if count and hardest >= tuning.drop_g and vessel.nitrogen:
        left = left._replace(rate_var=left.rate_var + tuning.drop_sd**2)
        last = last._replace(dropped_at=bin_.last_at)
    if vessel.dewar.ln2_capacity_kg and (kg := bin_.trimmed_mean(_KG)) is not None:
        left, last = _update_by_mass(tuning, vessel, left, last, kg, vessel.dewar.ln2_capacity_kg)
    return left, _update_by_temperature(tuning, vessel, last, bin_, lid)


def _initial(
    tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, at: Instant
) -> tuple[CoolantLeft, Instant]:
    """Start from the last filling before `at`; without one, from a full dewar at pack-out or departure."""
    packed = facts.packed_out_at or facts.window.departed_at
    before = [charge for charge in vessel.dewar.charges if charge.at <= at]
    charge = before[-1] if before else Charge(at=min(at, packed))
    left = CoolantLeft(
        at=charge.at,
        share=_charged_share(vessel, charge),
        share_var=tuning.charge_sd**2,
        rate=tuning.rate if vessel.nitrogen else tuning.ice_rate,
        rate_var=(tuning.rate_sd if vessel.nitrogen else tuning.ice_rate_sd) ** 2,
        tilt_gain=tuning.tilt_loss if vessel.nitrogen else 0.0,
        tilt_var=tuning.tilt_loss_sd**2 if vessel.nitrogen else 0.0,
    )
    return left, charge.at


def _charged_share(vessel: Vessel, charge: Charge) -> float:
    capacity = vessel.dewar.ln2_capacity_kg
    return charge.ln2_kg / capacity if capacity and charge.ln2_kg is not None else 1.0


def _heat_lid_tilt(
    tuning: HoldTimeTuning, vessel: Vessel, last: LastBin, bin_: Bin
) -> tuple[float, float, float]:
    """Return the heat as a multiple of that in a room, the share of time with the lid open, and the tilt.

    The heat leak is proportional to the difference between ambient and coolant. What is not measured
    stays as it was.
    """
    ambient_c, tilt_deg = bin_.trimmed_mean(_AMBIENT), bin_.trimmed_mean(_TILT)
    heat = last.heat if ambient_c is None else (ambient_c - vessel.cold_c) / (_ROOM_C - vessel.cold_c)
    lid = bin_.trimmed_mean(_LID) or 0.0
    if not vessel.nitrogen:
        return max(heat, 0.05), lid, 0.0
    tilt = last.tilt
    if tilt_deg is not None:
        side = min(1.0, max(0.0, (tilt_deg - tuning.upright_deg) / (90 - tuning.upright_deg)))
        tilt = side + max(0.0, tilt_deg - 90) / 90 * (tuning.down_loss - 1)
    return max(heat, 0.05), lid, tilt


def _advance(
    tuning: HoldTimeTuning,
    vessel: Vessel,
    left: CoolantLeft,
    last: LastBin,
    until: Instant,
    heat: float,
    tilt: float,
) -> tuple[CoolantLeft, LastBin]:
    """Advance the filter in time, over the fillings on record."""
    for charge in vessel.dewar.charges:
        if left.at < charge.at <= until:
            left = left.predicted(charge.at, vessel.hold_time, heat, tilt)
            left = left.refilled(charge.at, _charged_share(vessel, charge), tuning.charge_sd**2)
            last = last._replace(filled_at=charge.at, empty_since=None, warm_bins=0, resting_c=None)
    return (left.predicted(until, vessel.hold_time, heat, tilt) if until > left.at else left), last


def charges_between(vessel: Vessel, after: Instant, until: Instant) -> list[Charge]:
    """Return the fillings on record after an instant and up to another one, oldest first."""
    return [charge for charge in vessel.dewar.charges if after < charge.at <= until]


def recharged(
    tuning: HoldTimeTuning, vessel: Vessel, left: CoolantLeft, last: LastBin, charge: Charge
) -> tuple[CoolantLeft, LastBin]:
    """Take up a filling at once, without waiting for readings after it; the estimate is that of its instant."""
    left, last = _advance(tuning, vessel, left, last, charge.at, last.mean_heat, last.tilt)
    return left, with_estimate(tuning, vessel, left, last)


def _update_by_mass(
    tuning: HoldTimeTuning, vessel: Vessel, left: CoolantLeft, last: LastBin, kg: float, capacity_kg: float
) -> tuple[CoolantLeft, LastBin]:
    """Update by a measured mass: a jump upwards is an unrecorded filling, a fast loss is another rate."""
    share, variance = kg / capacity_kg, (tuning.mass_sd_kg / capacity_kg) ** 2
    expected = left.share_var + variance
    innovation = share - left.share
    if not last.mass_known and innovation * innovation > 9 * expected:
        # It was filled with less than was thought, which says nothing about the rate.
        return left.refilled(left.at, share, variance), last._replace(mass_known=True)
    if last.mass_known and innovation > max(0.08, 5 * expected**0.5):
        left = left.refilled(left.at, share, variance)
        return left, last._replace(filled_at=left.at, empty_since=None, warm_bins=0, resting_c=None)
    rate_noise = tuning.drift_sd**2 * 10 * tuning.bin_s * SECOND / vessel.hold_time
    if last.mass_known and innovation * innovation > 16 * expected:
        # The loss is outside of all that was held possible, so the rate has changed.
        rate_noise += left.rate**2
    return left.updated(share, variance, rate_noise), last if last.mass_known else last._replace(
        mass_known=True
    )


def _update_by_temperature(
    tuning: HoldTimeTuning, vessel: Vessel, last: LastBin, bin_: Bin, lid: float
) -> LastBin:
    """Detect from the payload's temperature that the coolant is used up: it then keeps rising."""
    celsius = bin_.trimmed_mean(_CELSIUS)
    if celsius is None or lid > 0:
        return last
    resting_c = _resting_c(vessel, last.resting_c, celsius)
    warm_c = resting_c + tuning.warm_c if vessel.nitrogen else tuning.dry_ice_warm_c
    rising = last.last_c is not None and celsius >= last.last_c + tuning.rise_c
    warm_bins = last.warm_bins + 1 if rising and celsius > warm_c else 0
    empty_since = last.empty_since if celsius > warm_c else None
    if empty_since is None and warm_bins >= tuning.warm_bins:
        empty_since = bin_.last_at
    return LastBin._make(
        (*last[:_RESTING_C], resting_c, celsius, warm_bins, empty_since, *last[_RESTING_C + 4 :])
    )


def _resting_c(vessel: Vessel, resting_c: float | None, celsius: float) -> float:
    """Follow the resting temperature slowly, so that neither a spike nor the warming itself moves it."""
    if resting_c is None:
        return max(celsius, vessel.cold_c)
    return resting_c + min(0.05, max(-0.5, max(celsius, vessel.cold_c) - resting_c))


def with_estimate(tuning: HoldTimeTuning, vessel: Vessel, left: CoolantLeft, last: LastBin) -> LastBin:
    """Add until when it lasts if conditions stay the same; a tilt lasts about as long again as it has lasted."""
    if last.empty_since is not None:
        return last._replace(earliest=last.empty_since, expected=last.empty_since, latest=last.empty_since)
    times = time_left(left, vessel.hold_time, _conditions(tuning, left, last))
    if times is None:  # the filter says that nothing is left, yet it is still cold: any moment now
        return last._replace(earliest=left.at, expected=left.at, latest=left.at + vessel.hold_time // 20)
    earliest, expected, latest = (left.at + length for length in times)
    return last._replace(earliest=earliest, expected=expected, latest=latest)


def lasts_at_least_until(tuning: HoldTimeTuning, vessel: Vessel, left: CoolantLeft, last: LastBin) -> Instant:
    """Return a cheap lower bound of when it is used up, never later than `earliest` of `with_estimate`."""
    if last.empty_since is not None:
        return last.empty_since
    return left.at + least_time_left(left, vessel.hold_time, _conditions(tuning, left, last))


def _conditions(tuning: HoldTimeTuning, left: CoolantLeft, last: LastBin) -> Conditions:
    tilted = 0 if last.tilted_since is None else left.at - last.tilted_since
    return Conditions(
        last.mean_heat, tuning.ahead_sd, last.tilt, (0, tilted, round(tuning.outlasts * tilted))
    )


def initial_estimate(
    tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, at: Instant
) -> tuple[CoolantLeft, LastBin]:
    """Return what is known before the first reading, from the fillings on record."""
    left, filled_at = _initial(tuning, facts, vessel, at)
    left, last = _advance(tuning, vessel, left, LastBin(filled_at=filled_at), at, 1.0, 0.0)
    return left, with_estimate(tuning, vessel, left, last)
