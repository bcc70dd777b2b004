"""Pure: how long a shipment's nitrogen or dry ice lasts, followed bin by bin.

Heat (ambient, lid, tilt), fillings and measurements (mass, the payload's temperature) go into the filter of
coolant_filter.py. The result is three instants at which the coolant is used up: earliest, expected and
latest.
"""

from dataclasses import dataclass
from typing import NamedTuple

from alerts.excursions.trace import Channel
from alerts.model import SECOND, Duration, Instant
from alerts.rules.blocks.bins import Bin
from alerts.rules.blocks.coolant_filter import NEVER, Ahead, Left, lasts, lasts_at_least
from alerts.rules.facts import Charge, Dewar, Facts
from alerts.rules.rule import Tuning

CHANNELS = (Channel.LN2_KG, Channel.TILT_DEG, Channel.AMBIENT_C, Channel.LID_OPEN, Channel.SHOCK_G)
"""The columns of a bin after the payload's temperature."""
_CELSIUS, _KG, _TILT, _AMBIENT, _LID, _SHOCK = range(6)
_ROOM_C = 20.0


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
    usual_heat: float = 1.0
    tilt: float = 0.0
    tilted_since: Instant | None = None
    rests_c: float | None = None
    last_c: float | None = None
    warm_bins: int = 0
    gone_since: Instant | None = None
    weighed: bool = False
    dropped_at: Instant | None = None
    tilt_known: bool = False
    filled_at: Instant = 0
    lo: Instant = NEVER
    mid: Instant = NEVER
    hi: Instant = NEVER


_RESTS, _TILT_KNOWN = LastBin._fields.index("rests_c"), LastBin._fields.index("tilt_known")


class Vessel(NamedTuple):
    dewar: Dewar
    hold_time: Duration
    cold_c: float
    nitrogen: bool

    @property
    def coolant(self) -> str:
        return "nitrogen" if self.nitrogen else "dry ice"


def vessel_of(facts: Facts) -> Vessel | None:
    """Return what keeps the payload cold, by its band; None if unknown, or if nothing is used up."""
    dewar, upper_c = facts.dewar, facts.plan.limits.upper_c
    if dewar is None or not dewar.hold_time or upper_c is None or upper_c > -50:
        return None
    nitrogen = upper_c <= -100
    return Vessel(dewar, dewar.hold_time, -195.8 if nitrogen else -78.5, nitrogen)


# Filter updates


def followed(
    tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, left: Left, course: LastBin, one: Bin
) -> tuple[Left, LastBin]:
    """Fold one bin into the filter's state; the estimate is left to `with_estimate`, called when it matters."""
    if not left.at:
        left, filled_at = _begun(tuning, facts, vessel, one.start)
        course = course._replace(filled_at=filled_at)
    heat, lid, tilt = _acting(tuning, vessel, course, one)
    usual = course.usual_heat + (heat - course.usual_heat) * min(
        1.0, 20 * max(0, one.last_at - left.at) / vessel.hold_time
    )
    # Only what held both before and after a gap is assumed in it.
    between = min(course.tilt, tilt)
    left, course = _through(tuning, vessel, left, course, max(left.at, one.start), usual, between)
    left, course = _through(
        tuning, vessel, left, course, one.last_at, heat * (1 + tuning.lid_loss * lid), tilt
    )
    tilted = tilt > 0.15
    tilted_since = (course.tilted_since or one.start) if tilted else None
    tilt_known = course.tilt_known or one.columns[_TILT][0] > 0
    course = LastBin._make(
        (heat, usual, tilt, tilted_since, *course[_RESTS:_TILT_KNOWN], tilt_known, *course[_TILT_KNOWN + 1 :])
    )
    count, _, _, hardest = one.columns[_SHOCK]
    if count and hardest >= tuning.drop_g and vessel.nitrogen:
        left = left._replace(rate_rate=left.rate_rate + tuning.drop_sd**2)
        course = course._replace(dropped_at=one.last_at)
    if vessel.dewar.ln2_capacity_kg and (kg := one.level(_KG)) is not None:
        left, course = _weighed(tuning, vessel, left, course, kg, vessel.dewar.ln2_capacity_kg)
    return left, _felt(tuning, vessel, course, one, lid)


def _begun(tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, at: Instant) -> tuple[Left, Instant]:
    """Start from the last filling before `at`; without one, from a full dewar at pack-out or departure."""
    packed = facts.packed_out_at or facts.window.departed_at
    before = [charge for charge in vessel.dewar.charges if charge.at <= at]
    charge = before[-1] if before else Charge(at=min(at, packed))
    left = Left(
        at=charge.at,
        share=_charged(vessel, charge),
        share_share=tuning.charge_sd**2,
        rate=tuning.rate if vessel.nitrogen else tuning.ice_rate,
        rate_rate=(tuning.rate_sd if vessel.nitrogen else tuning.ice_rate_sd) ** 2,
        tilts=tuning.tilt_loss if vessel.nitrogen else 0.0,
        tilts_tilts=tuning.tilt_loss_sd**2 if vessel.nitrogen else 0.0,
    )
    return left, charge.at


def _charged(vessel: Vessel, charge: Charge) -> float:
    capacity = vessel.dewar.ln2_capacity_kg
    return charge.ln2_kg / capacity if capacity and charge.ln2_kg is not None else 1.0


def _acting(tuning: HoldTimeTuning, vessel: Vessel, course: LastBin, one: Bin) -> tuple[float, float, float]:
    """Return the heat as a multiple of that in a room, the share of time with the lid open, and the tilt.

    The heat leak is proportional to the difference between ambient and coolant. What is not measured
    stays as it was.
    """
    ambient_c, tilt_deg = one.level(_AMBIENT), one.level(_TILT)
    heat = course.heat if ambient_c is None else (ambient_c - vessel.cold_c) / (_ROOM_C - vessel.cold_c)
    lid = one.level(_LID) or 0.0
    if not vessel.nitrogen:
        return max(heat, 0.05), lid, 0.0
    tilt = course.tilt
    if tilt_deg is not None:
        side = min(1.0, max(0.0, (tilt_deg - tuning.upright_deg) / (90 - tuning.upright_deg)))
        tilt = side + max(0.0, tilt_deg - 90) / 90 * (tuning.down_loss - 1)
    return max(heat, 0.05), lid, tilt


def _through(
    tuning: HoldTimeTuning,
    vessel: Vessel,
    left: Left,
    course: LastBin,
    until: Instant,
    heat: float,
    tilt: float,
) -> tuple[Left, LastBin]:
    """Advance the filter in time, over the fillings on record."""
    for charge in vessel.dewar.charges:
        if left.at < charge.at <= until:
            left = left.after(charge.at, vessel.hold_time, heat, tilt)
            left = left.filled(charge.at, _charged(vessel, charge), tuning.charge_sd**2)
            course = course._replace(filled_at=charge.at, gone_since=None, warm_bins=0, rests_c=None)
    return (left.after(until, vessel.hold_time, heat, tilt) if until > left.at else left), course


def _weighed(
    tuning: HoldTimeTuning, vessel: Vessel, left: Left, course: LastBin, kg: float, capacity_kg: float
) -> tuple[Left, LastBin]:
    """Update by a measured mass: a jump upwards is an unrecorded filling, a fast loss is another rate."""
    share, variance = kg / capacity_kg, (tuning.mass_sd_kg / capacity_kg) ** 2
    expected = left.share_share + variance
    off = share - left.share
    if not course.weighed and off * off > 9 * expected:
        # It was filled with less than was thought, which says nothing about the rate.
        return left.filled(left.at, share, variance), course._replace(weighed=True)
    if course.weighed and off > max(0.08, 5 * expected**0.5):
        left = left.filled(left.at, share, variance)
        return left, course._replace(filled_at=left.at, gone_since=None, warm_bins=0, rests_c=None)
    forgets = tuning.drift_sd**2 * 10 * tuning.bin_s * SECOND / vessel.hold_time
    if course.weighed and off * off > 16 * expected:
        # The loss is outside of all that was held possible, so the rate has changed.
        forgets += left.rate**2
    return left.measured(share, variance, forgets), course if course.weighed else course._replace(
        weighed=True
    )


def _felt(tuning: HoldTimeTuning, vessel: Vessel, course: LastBin, one: Bin, lid: float) -> LastBin:
    """Detect from the payload's temperature that the coolant is used up: it then keeps rising."""
    celsius = one.level(_CELSIUS)
    if celsius is None or lid > 0:
        return course
    rests_c = _rests(vessel, course.rests_c, celsius)
    warm_c = rests_c + tuning.warm_c if vessel.nitrogen else tuning.dry_ice_warm_c
    rising = course.last_c is not None and celsius >= course.last_c + tuning.rise_c
    warm_bins = course.warm_bins + 1 if rising and celsius > warm_c else 0
    gone_since = course.gone_since if celsius > warm_c else None
    if gone_since is None and warm_bins >= tuning.warm_bins:
        gone_since = one.last_at
    return LastBin._make((*course[:_RESTS], rests_c, celsius, warm_bins, gone_since, *course[_RESTS + 4 :]))


def _rests(vessel: Vessel, rests_c: float | None, celsius: float) -> float:
    """Follow the resting temperature slowly, so that neither a spike nor the warming itself moves it."""
    if rests_c is None:
        return max(celsius, vessel.cold_c)
    return rests_c + min(0.05, max(-0.5, max(celsius, vessel.cold_c) - rests_c))


def estimated(tuning: HoldTimeTuning, vessel: Vessel, left: Left, course: LastBin) -> LastBin:
    """Add until when it lasts if conditions stay the same; a tilt lasts about as long again as it has lasted."""
    if course.gone_since is not None:
        return course._replace(lo=course.gone_since, mid=course.gone_since, hi=course.gone_since)
    found = lasts(left, vessel.hold_time, _ahead(tuning, left, course))
    if found is None:  # the filter says that nothing is left, yet it is still cold: any moment now
        return course._replace(lo=left.at, mid=left.at, hi=left.at + vessel.hold_time // 20)
    lo, mid, hi = (left.at + length for length in found)
    return course._replace(lo=lo, mid=mid, hi=hi)


def surely_until(tuning: HoldTimeTuning, vessel: Vessel, left: Left, course: LastBin) -> Instant:
    """Return a cheap lower bound of when it is used up, never later than `earliest` of `with_estimate`."""
    if course.gone_since is not None:
        return course.gone_since
    return left.at + lasts_at_least(left, vessel.hold_time, _ahead(tuning, left, course))


def _ahead(tuning: HoldTimeTuning, left: Left, course: LastBin) -> Ahead:
    tilted = 0 if course.tilted_since is None else left.at - course.tilted_since
    return Ahead(
        course.usual_heat, tuning.ahead_sd, course.tilt, (0, tilted, round(tuning.outlasts * tilted))
    )


def begun(tuning: HoldTimeTuning, facts: Facts, vessel: Vessel, at: Instant) -> tuple[Left, LastBin]:
    """Return what is known before the first reading, from the fillings on record."""
    left, filled_at = _begun(tuning, facts, vessel, at)
    left, course = _through(tuning, vessel, left, LastBin(filled_at=filled_at), at, 1.0, 0.0)
    return left, estimated(tuning, vessel, left, course)
