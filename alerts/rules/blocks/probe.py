"""Pure: detects faults of one temperature probe from its own readings and the ambient temperature.

Theory of operation. `fold_probe_reading` folds readings one by one, and is the definition. A reading that is
unremarkable while nothing is wrong only counts; probe_columns.py counts such readings in columns and folds
the rest one by one.
"""

from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

from alerts.model import COLDEST_C, HOTTEST_C, Duration, Instant
from alerts.rules.blocks.payload_physics import MINUTE, Coolant, is_impossible

NO_INSTANT: Instant = 0
UNKNOWN_C = 1e9
HOUR: Duration = 60 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeChecks:
    """What is believed of a probe, and for how long.

    `hottest_c` is above any payload, and a value that is `disowned` is no measurement. A probe reads the air if it is within `near_c` of it, and got there
    or followed it as no payload does; or if it starts there, `far_c` outside of the band from `lower_c`
    to `upper_c`. It is stuck when it shows exactly one value for `stuck_after`. A spike is up and down
    again within `spikes_within`; spikes that follow each other within `spikes_quiet` are one fault.
    """

    coolant: Coolant
    hottest_c: float
    disowned: frozenset[float]
    lower_c: float
    upper_c: float
    near_c: float
    far_c: float
    detects_shifts: bool
    stuck_after: Duration
    spikes_within: Duration
    spikes_quiet: Duration


class ProbeState(NamedTuple):
    """The state of a probe: for each symptom its start if it holds, and the newest that is over."""

    broken_since: Instant | None = None
    broken_from: Instant | None = None
    broken_until: Instant | None = None
    beyond_since: Instant | None = None
    beyond_from: Instant | None = None
    beyond_until: Instant | None = None
    jumped_since: Instant | None = None  # it jumped as no payload can,
    jumped_from: Instant | None = None
    jumped_until: Instant | None = None
    jumped_from_c: float = 0.0  # from this temperature,
    back_within_c: float = 0.0  # and is back when it is this near to it;
    jumped_up: bool = False  # upwards
    shift_since: Instant | None = None  # it rose at once and then stayed: not reported before it did
    shift_c: float = 0.0
    shift_from_c: float = 0.0
    stuck_since: Instant | None = None
    stuck_from: Instant | None = None
    stuck_until: Instant | None = None
    near_since: Instant | None = None  # it reads the air temperature,
    near_from: Instant | None = None
    near_until: Instant | None = None
    near_proven: bool = False  # and did not get there as a payload would
    near_count: int = 0
    noted_at: Instant = NO_INSTANT  # a reading noted now and then,
    near_c: float = 0.0  # to see whether it goes on to follow the air,
    lag_at: Instant = NO_INSTANT  # and the same over many small changes:
    lag_air_c: float = 0.0  # the air at that time, and sums over such times
    lag_count: int = 0
    lag_c: float = 0.0  # of the difference from the air,
    lag_c2: float = 0.0
    lag_rate: float = 0.0  # and of the rate of change of the air, in °C an hour
    lag_rate2: float = 0.0
    spike_since: Instant | None = None
    spike_last: Instant = NO_INSTANT
    spikes: int = 0
    # Every reading changes the fields from here on: the last two plausible readings, and the air at the last,
    at: Instant = NO_INSTANT
    c: float = 0.0
    air_c: float = UNKNOWN_C
    at_before: Instant = NO_INSTANT
    c_before: float = 0.0
    change_before: float = 0.0  # the change at the reading before,
    # the least change seen, the number of triples and how many of them swung by two such steps,
    least_step_c: float = UNKNOWN_C
    triples: int = 0
    swings: int = 0
    # and since when, and how often, it shows exactly this value.
    same_since: Instant = NO_INSTANT
    same_count: int = 0

    @property
    def has_no_symptom(self) -> bool:
        """Whether it has no symptom now."""
        return (
            self.broken_since is None
            and self.beyond_since is None
            and self.jumped_since is None
            and self.stuck_since is None
            and self.near_since is None
            and self.shift_since is None
        )


NEW_PROBE = ProbeState()

MIN_TRIPLES, MIN_SWINGS = 15, 3
NOISY, VERY_NOISY = 0.04, 0.15
"""Shares of triples that swing by two steps, for noise of half a step and of 0.8 steps. A coarser logger may
honestly show one value for days. With such noise, 40 and 18 equal values in a row happen once in a
million."""
VERY_MANY_SAME, MANY_SAME, SAME = 100, 40, 18
"""The greatest number is for a probe that is known to be noisy, but with too few readings to say how
noisy."""
MIN_STEP_C = 0.001
MAX_SAME_IN_TRIPLE = 5  # after so many equal values a triple says nothing about noise
SHIFT_C, SHIFT_STAYS = 4.0, 60 * MINUTE
"""A step up between two readings, and how long it must stay: a payload with a time constant of 20 minutes or
more would rise by a tenth in the first two minutes of that hour."""
_STEPPED_C, _STEPPED_WITHIN = 4.0, 35 * MINUTE
# At most twice `near_c` from the air, a closed box with a time constant of 1.5 h or more follows by less than
# this.
_FOLLOWS_WITHIN = 2 * HOUR
_MIN_NEAR, _NEAR_FOR = 3, 10 * MINUTE
_MIN_LAG_SAMPLES, _MAX_LAG_H, _LAG_WEIGHT = 8, 0.7, 0.8
"""How many samples, two hours apart, it takes to know a probe's lag on the air in hours; the greatest lag of
a probe that hangs in the air; and the weight that earlier samples keep, since it may have slipped out on the
way. A probe in a box lags by the box's time constant, or does not follow at all."""


def reads_air(probe: ProbeState) -> bool:
    """Return whether it is proven that the probe reads the air."""
    if probe.near_since is None or not probe.near_proven:
        return False
    return probe.near_count >= _MIN_NEAR and probe.at - probe.near_since >= _NEAR_FOR


def is_stuck(checks: ProbeChecks, is_same: int, lasted: Duration, triples: int, swings: int) -> bool:
    """Return whether the noise seen before would have changed the value by now."""
    if is_same < SAME or lasted < checks.stuck_after or not swings or swings < NOISY * triples:
        return False
    if is_same >= VERY_MANY_SAME:
        return True
    if triples < MIN_TRIPLES or swings < MIN_SWINGS:
        return False
    return is_same >= MANY_SAME or (swings >= VERY_NOISY * triples and swings >= 2 * MIN_SWINGS)


def fold_probe_reading(
    checks: ProbeChecks, probe: ProbeState, at: Instant, c: float, air_c: float
) -> ProbeState:
    """Fold in one reading."""
    if isnan(air_c):
        air_c = UNKNOWN_C
    if not COLDEST_C <= c <= HOTTEST_C:
        return probe if probe.broken_since is not None else probe._replace(broken_since=at)
    if probe.broken_since is not None:
        probe = probe._replace(broken_since=None, broken_from=probe.broken_since, broken_until=at)
    if not checks.coolant.coldest_c <= c <= checks.hottest_c or c in checks.disowned:
        return probe if probe.beyond_since is not None else probe._replace(beyond_since=at)
    if probe.beyond_since is not None:
        probe = probe._replace(beyond_since=None, beyond_from=probe.beyond_since, beyond_until=at)
    floor = checks.coolant.floor_c
    jumped = probe.at != NO_INSTANT and not -floor <= c - probe.c <= floor
    if jumped or probe.jumped_since is not None:
        probe = _jump(checks, _spike(checks, probe, at, c), at, c, air_c)
    if probe.shift_since is not None or c - probe.c >= SHIFT_C:
        probe = _shift(checks, probe, at, c)
    if probe.near_since is not None or -checks.near_c <= c - air_c <= checks.near_c:
        probe = _near(checks, probe, at, c, air_c)
    return _count_reading(checks, probe, at, c, air_c)


def _count_reading(checks: ProbeChecks, probe: ProbeState, at: Instant, c: float, air_c: float) -> ProbeState:
    """Count a plausible reading, and detect a stuck probe."""
    is_same = c == probe.c and probe.at != NO_INSTANT
    if probe.stuck_since is not None and not is_same:
        probe = probe._replace(stuck_since=None, stuck_from=probe.stuck_since, stuck_until=at)
    step, triples, swings = probe.least_step_c, probe.triples, probe.swings
    last, now = probe.c - probe.c_before, c - probe.c
    change_before = last if probe.at_before != NO_INSTANT else 0.0
    count = probe.same_count + 1 if is_same else 1
    if probe.at != NO_INSTANT and now:
        step = min(step, max(abs(now), MIN_STEP_C))
    if probe.at_before != NO_INSTANT and count <= MAX_SAME_IN_TRIPLE:
        triples += 1
        swings += last * now < 0 and 1.9 * step <= max(abs(last), abs(now)) <= checks.coolant.floor_c
    since = probe.same_since if is_same else at
    after = ProbeState._make(
        (
            *probe[:SELDOM_CHANGING],
            at,
            c,
            air_c,
            probe.at,
            probe.c,
            change_before,
            step,
            triples,
            swings,
            since,
            count,
        )
    )
    if count >= SAME and after.stuck_since is None and is_stuck(checks, count, at - since, triples, swings):
        after = after._replace(stuck_since=since)
    return after


SELDOM_CHANGING = ProbeState._fields.index("at")


def _spike(checks: ProbeChecks, probe: ProbeState, at: Instant, c: float) -> ProbeState:
    """Detect that the reading before this one was far from both its neighbours, which agree."""
    up, down = probe.c - probe.c_before, probe.c - c
    height = min(abs(up), abs(down))
    if probe.at_before == NO_INSTANT or at - probe.at_before > checks.spikes_within or up * down <= 0:
        return probe
    # The peak of real warming and cooling stands out from its neighbours too, but not from a steady level.
    agrees = max(3.0, height / 4)
    if height <= checks.coolant.floor_c or max(abs(c - probe.c_before), abs(probe.change_before)) > agrees:
        return probe
    again = probe.spike_since is not None and probe.at - probe.spike_last < checks.spikes_quiet
    return probe._replace(
        spike_since=probe.spike_since if again else probe.at,
        spike_last=probe.at,
        spikes=probe.spikes + 1 if again else 1,
    )


def _shift(checks: ProbeChecks, probe: ProbeState, at: Instant, c: float) -> ProbeState:
    """Follow a step up: real warming goes on, and a shipper that is closed again cools."""
    if probe.jumped_since is not None or not checks.detects_shifts:
        return probe._replace(shift_since=None)
    if probe.shift_since is None:
        steady = probe.at_before != NO_INSTANT and abs(probe.c - probe.c_before) <= SHIFT_C / 4
        soon = at - probe.at <= _STEPPED_WITHIN
        return probe._replace(shift_since=at, shift_c=c, shift_from_c=probe.c) if steady and soon else probe
    height = probe.shift_c - probe.shift_from_c
    if abs(c - probe.shift_c) > max(0.1 * height, SHIFT_C / 4):
        return probe._replace(shift_since=None)
    if at - probe.shift_since < SHIFT_STAYS:
        return probe
    return probe._replace(
        shift_since=None,
        jumped_since=probe.shift_since,
        jumped_from_c=probe.shift_from_c,
        back_within_c=0.3 * height,
        jumped_up=True,
    )


def _jump(checks: ProbeChecks, probe: ProbeState, at: Instant, c: float, air_c: float) -> ProbeState:
    """Follow a jump to where the payload cannot be, and the return to its origin or by another jump."""
    cannot = probe.at != NO_INSTANT and is_impossible(
        checks.coolant, probe.c, c, _air_or_nan(air_c), at - probe.at
    )
    if probe.jumped_since is not None:
        back = abs(c - probe.jumped_from_c) <= probe.back_within_c or (
            cannot and (c < probe.c) == probe.jumped_up
        )
        return (
            probe._replace(jumped_since=None, jumped_from=probe.jumped_since, jumped_until=at)
            if back
            else probe
        )
    # From outside of the band into it: it was wrong before, and now shows the payload again.
    returns = checks.lower_c <= c <= checks.upper_c and not checks.lower_c <= probe.c <= checks.upper_c
    if not cannot or returns or probe.near_since is not None:
        return probe
    within = 0.6 * checks.coolant.floor_c
    return probe._replace(jumped_since=at, jumped_from_c=probe.c, back_within_c=within, jumped_up=c > probe.c)


def _near(checks: ProbeChecks, probe: ProbeState, at: Instant, c: float, air_c: float) -> ProbeState:
    """Follow a probe that is near the air temperature: a slow approach proves nothing, a step does."""
    known = air_c != UNKNOWN_C
    if probe.near_since is None:
        return probe._replace(
            near_since=at,
            near_count=1,
            near_proven=_reached_air_at_once(checks, probe, at, c, air_c),
            noted_at=at,
            near_c=c,
            lag_at=NO_INSTANT,
            lag_count=0,
            lag_c=0.0,
            lag_c2=0.0,
            lag_rate=0.0,
            lag_rate2=0.0,
        )
    if known and abs(c - air_c) > 2 * checks.near_c:
        newest = (probe.near_since, at) if reads_air(probe) else (probe.near_from, probe.near_until)
        return probe._replace(near_since=None, near_from=newest[0], near_until=newest[1], near_proven=False)
    both_stepped = (
        known
        and probe.air_c != UNKNOWN_C
        and abs(air_c - probe.air_c) >= _STEPPED_C
        and abs(c - probe.c) >= _STEPPED_C
    )
    followed = both_stepped and at - probe.at <= _STEPPED_WITHIN
    proven, noted = probe.near_proven or followed, (probe.noted_at, probe.near_c)
    if known and abs(c - air_c) <= checks.near_c:
        proven = proven or abs(c - probe.near_c) >= _STEPPED_C
        noted = (at, c) if at - probe.noted_at >= _FOLLOWS_WITHIN else noted
    if known and not proven and at - probe.lag_at >= _FOLLOWS_WITHIN:
        probe = _lag(probe, at, c, air_c)
        proven = _hangs_in_air(probe)
    return probe._replace(
        near_count=probe.near_count + known, near_proven=proven, noted_at=noted[0], near_c=noted[1]
    )


def _lag(probe: ProbeState, at: Instant, c: float, air_c: float) -> ProbeState:
    """Sample the difference from the air, and how fast the air has changed since the last sample."""
    if probe.lag_at == NO_INSTANT:
        return probe._replace(lag_at=at, lag_air_c=air_c)
    offset, rate = c - air_c, (air_c - probe.lag_air_c) * HOUR / (at - probe.lag_at)
    return probe._replace(
        lag_at=at,
        lag_air_c=air_c,
        lag_count=probe.lag_count + 1,
        lag_c=_LAG_WEIGHT * probe.lag_c + offset,
        lag_c2=_LAG_WEIGHT * probe.lag_c2 + offset * offset,
        lag_rate=_LAG_WEIGHT * probe.lag_rate + rate,
        lag_rate2=_LAG_WEIGHT * probe.lag_rate2 + rate * rate,
    )


def _hangs_in_air(probe: ProbeState) -> bool:
    """Return whether it lags no more than a probe in the air, even if the air changes little.

    By Newton's law a lag of one time constant is a difference of that times the rate. So the lag is the
    spread of the differences divided by the spread of the rates; a constant offset is in neither. The
    differences of a probe that does not follow at all spread as much as the air.
    """
    if probe.lag_count < _MIN_LAG_SAMPLES:
        return False
    weight = (1 - _LAG_WEIGHT**probe.lag_count) / (1 - _LAG_WEIGHT)
    offset = weight * probe.lag_c2 - probe.lag_c**2
    rate = weight * probe.lag_rate2 - probe.lag_rate**2
    return offset <= _MAX_LAG_H**2 * rate


def _reached_air_at_once(checks: ProbeChecks, probe: ProbeState, at: Instant, c: float, air_c: float) -> bool:
    """Return whether it reached the air temperature as no payload does, or started there, far from its band."""
    if probe.at == NO_INSTANT:
        return air_c >= checks.upper_c + checks.far_c or air_c <= checks.lower_c - checks.far_c
    if is_impossible(checks.coolant, probe.c, c, air_c, at - probe.at):
        return True
    soon = at - probe.at <= _STEPPED_WITHIN and probe.air_c != UNKNOWN_C
    return soon and abs(c - probe.c) >= _STEPPED_C and abs(probe.c - probe.air_c) >= _STEPPED_C


def _air_or_nan(air_c: float) -> float:
    return nan if air_c == UNKNOWN_C else air_c
