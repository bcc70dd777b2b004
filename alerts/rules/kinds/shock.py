"""Pure: a shock to the dewar, which may have cost its vacuum; reported for a while, longer if more follow."""

from dataclasses import dataclass
from typing import ClassVar

from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Instant, Severity
from alerts.rules.blocks.burst import NO_BURST, Burst, BurstTiming, fold_burst
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, LookTime, Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class ShockTuning(Tuning):
    """Which shocks are reported, in g.

    Road, trolley and aircraft stay below some 5 g, and a drop from a hand's breadth gives more than 8.
    Common impact labels for heavy goods start at 25 g. A shock is reported until there was none for an
    hour.
    """

    g: float = 8.0
    critical_g: float = 25.0
    quiet_s: float = 3600


@dataclass(frozen=True, slots=True)
class ShockState:
    """The newest burst of shocks."""

    burst: Burst = NO_BURST


class Shock(DeviceRule[ShockTuning, ShockState]):
    """A shock, or several in a row."""

    kind: ClassVar[AlertKind] = AlertKind.SHOCK
    tuning = ShockTuning
    state = ShockState
    reads = frozenset({Channel.SHOCK_G})
    ranges: ClassVar = {"g": (1, 500), "critical_g": (1, 1000), "quiet_s": (1, 604_800)}

    def fold(self, tuning: ShockTuning, facts: Facts, state: ShockState, trace: Trace) -> ShockState:
        """Add shocks to the current burst, or begin one."""
        trace = in_transit(facts.window, trace)
        g = trace.channels.get(Channel.SHOCK_G)
        if g is None:
            return state
        burst = fold_burst(_timing(tuning), state.burst, trace.at, g)
        return state if burst is state.burst else ShockState(burst)

    def look(self, tuning: ShockTuning, facts: Facts, state: ShockState, look_time: LookTime) -> Look:
        """Report the newest burst; the clock ends it."""
        del facts
        since = state.burst.since
        if since is None:
            return NOTHING
        timing = _timing(tuning)
        until = state.burst.ended_at(timing, look_time.through)
        again_at = (
            state.burst.last + timing.quiet if until is None and look_time.shipment_ended_at is None else None
        )
        return Look(
            found=_found(tuning, state.burst, since, until or look_time.shipment_ended_at), again_at=again_at
        )


def _found(tuning: ShockTuning, burst: Burst, since: Instant, until: Instant | None) -> Finding:
    critical = burst.peak >= tuning.critical_g
    what = (
        f"Shock of {burst.peak:.0f} g" if burst.times == 1 else f"Repeated shocks of up to {burst.peak:.0f} g"
    )
    means = "the vacuum may be lost and the payload damaged" if critical else "the vacuum may have suffered"
    do = "look for damage, and for frost or sweat outside, which a dewar without its vacuum shows"
    return Finding(
        severity=Severity.CRITICAL if critical else Severity.MAJOR,
        message=f"{what}: {means}; {do}",
        since=since,
        until=until,
        details={"peak_g": round(burst.peak, 1)},
    )


def _timing(tuning: ShockTuning) -> BurstTiming:
    return BurstTiming(raise_at=tuning.g, keep_at=tuning.g, quiet=round(tuning.quiet_s * SECOND))


SHOCK = Shock()
