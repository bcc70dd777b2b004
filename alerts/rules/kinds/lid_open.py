"""Pure: the lid has been open for longer than a look inside takes."""

from dataclasses import dataclass
from typing import ClassVar

from alerts import wording
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.rules.blocks.hysteresis import Episode, Levels, fold_episode
from alerts.rules.blocks.in_transit import in_transit
from alerts.rules.facts import Facts
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, LookTime, Tuning

CHARGE_MARGIN: Duration = 30 * 60 * SECOND
"""People with other things to do record a charge at its beginning or at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LidOpenTuning(Tuning):
    """How long a lid may be open.

    A look inside, or taking out a cassette, takes less than 5 minutes. With a time constant of half an
    hour, as open shippers have, a payload at −190 °C passes −150 °C some 10 minutes later: hence critical
    after 15.
    """

    dwell_s: float = 300
    critical_s: float = 900


_SHUT = Episode()


@dataclass(frozen=True, slots=True)
class LidOpenState:
    """How long the lid is open."""

    open: Episode = _SHUT


class LidOpen(DeviceRule[LidOpenTuning, LidOpenState]):
    """An open lid; only a reading that says it is shut ends it, since no lid shuts itself.

    So its time goes on by the clock, even if the logger falls silent.
    """

    kind: ClassVar[AlertKind] = AlertKind.LID_OPEN
    tuning = LidOpenTuning
    state = LidOpenState
    reads = frozenset({Channel.LID_OPEN})
    ranges: ClassVar = {"dwell_s": (0, 86_400), "critical_s": (0, 604_800)}

    def fold(self, tuning: LidOpenTuning, facts: Facts, state: LidOpenState, trace: Trace) -> LidOpenState:
        """Follow the lid."""
        trace = in_transit(facts.window, trace)
        lid = trace.channels.get(Channel.LID_OPEN)
        if lid is None:
            return state
        after = fold_episode(_levels(tuning), state.open, trace.at, lid)
        return state if after is state.open else LidOpenState(after)

    def look(self, tuning: LidOpenTuning, facts: Facts, state: LidOpenState, look_time: LookTime) -> Look:
        """Report the newest time that it was open for too long; the clock raises it and makes it critical."""
        levels, critical_after = _levels(tuning), _duration(max(tuning.critical_s, tuning.dwell_s))
        newest = state.open.newest(levels, look_time.through)
        if newest is not None and _is_recharge(facts, newest[0], newest[1] or look_time.through):
            newest = None
        found = None
        if newest is not None:
            since, until, _ = newest
            lasted = (look_time.through if until is None else until) - since
            found = _found(
                tuning, since, until or look_time.shipment_ended_at, critical=lasted >= critical_after
            )
        if state.open.since is None or look_time.shipment_ended_at is not None:
            return Look(found=found) if found is not None else NOTHING
        changes = (state.open.since + levels.dwell, state.open.since + critical_after)
        return Look(found=found, again_at=min((at for at in changes if at > look_time.through), default=None))


def _is_recharge(facts: Facts, since: Instant, until: Instant) -> bool:
    """Return whether it was opened for filling: a charge is on record around that time."""
    charges = facts.dewar.charges if facts.dewar is not None else ()
    return any(since - CHARGE_MARGIN <= charge.at <= until + CHARGE_MARGIN for charge in charges)


def _found(tuning: LidOpenTuning, since: int, until: int | None, *, critical: bool) -> Finding:
    longer = wording.duration(_duration(tuning.critical_s if critical else tuning.dwell_s))
    means = "the payload is warming, and its coolant is being lost" if critical else "the payload will warm"
    return Finding(
        severity=Severity.CRITICAL if critical else Severity.MAJOR,
        message=f"Lid open for more than {longer}: {means}; shut it, and check the coolant before it travels on",
        since=since,
        until=until,
    )


def _levels(tuning: LidOpenTuning) -> Levels:
    return Levels(raise_at=1.0, clear_at=0.0, dwell=_duration(tuning.dwell_s))


def _duration(seconds: float) -> Duration:
    return round(seconds * SECOND)


LID_OPEN = LidOpen()
