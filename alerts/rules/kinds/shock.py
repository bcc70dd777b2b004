"""Pure: a shock to the dewar, which may have cost its vacuum; reported for a while, longer if more follow."""

from dataclasses import dataclass
from typing import ClassVar

from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Instant, Severity
from alerts.rules.blocks.burst import NO_BURST, Burst, BurstTiming, burst
from alerts.rules.blocks.window import in_window
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, Moment, Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Blows(Tuning):
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

    blows: Burst = NO_BURST


class Shock(DeviceRule[Blows, ShockState]):
    """A shock, or several in a row."""

    kind: ClassVar[AlertKind] = AlertKind.SHOCK
    tuning = Blows
    state = ShockState
    reads = frozenset({Channel.SHOCK_G})
    ranges: ClassVar = {"g": (1, 500), "critical_g": (1, 1000), "quiet_s": (1, 604_800)}

    def fold(self, tuning: Blows, facts: Facts, state: ShockState, trace: Trace) -> ShockState:
        """Add shocks to the current burst, or begin one."""
        trace = in_window(facts.window, trace)
        g = trace.channels.get(Channel.SHOCK_G)
        if g is None:
            return state
        blows = burst(_pace(tuning), state.blows, trace.at, g)
        return state if blows is state.blows else ShockState(blows)

    def look(self, tuning: Blows, facts: Facts, state: ShockState, moment: Moment) -> Look:
        """Report the newest burst; the clock ends it."""
        del facts
        since = state.blows.since
        if since is None:
            return NOTHING
        pace = _pace(tuning)
        until = state.blows.until(pace, moment.through)
        again_at = state.blows.last + pace.quiet if until is None and moment.over is None else None
        return Look(found=_found(tuning, state.blows, since, until or moment.over), again_at=again_at)


def _found(tuning: Blows, blows: Burst, since: Instant, until: Instant | None) -> Finding:
    critical = blows.peak >= tuning.critical_g
    what = (
        f"Shock of {blows.peak:.0f} g" if blows.times == 1 else f"Repeated shocks of up to {blows.peak:.0f} g"
    )
    means = "the vacuum may be lost and the payload damaged" if critical else "the vacuum may have suffered"
    do = "look for damage, and for frost or sweat outside, which a dewar without its vacuum shows"
    return Finding(
        severity=Severity.CRITICAL if critical else Severity.MAJOR,
        message=f"{what}: {means}; {do}",
        since=since,
        until=until,
        details={"peak_g": round(blows.peak, 1)},
    )


def _pace(tuning: Blows) -> BurstTiming:
    return BurstTiming(raise_at=tuning.g, keep_at=tuning.g, quiet=round(tuning.quiet_s * SECOND))


SHOCK = Shock()
