"""Runs simulated shipments through the pure rules, in the order in which their readings arrive.

All rules are folded and looked at after each upload, and whenever one asked for it before the next: so alerts
come when they would. Late readings cause a fold from the start, which gives the same state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.plan import PlanRefused, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Instant, Severity, Window, to_instant
from alerts.rules import registry
from alerts.rules.facts import Charge, Dewar, Facts, Leg
from alerts.rules.kinds.clock_skew import CLOCK_SKEW
from alerts.rules.kinds.excursion_predicted import EXCURSION_PREDICTED, time_to_limit
from alerts.rules.kinds.hold_time_short import HOLD_TIME_SHORT, hold_time
from alerts.rules.kinds.lid_open import LID_OPEN
from alerts.rules.kinds.logger_memory_gap import LOGGER_MEMORY_GAP
from alerts.rules.kinds.low_battery import LOW_BATTERY
from alerts.rules.kinds.probe_fault import PROBE_FAULT
from alerts.rules.kinds.shock import SHOCK
from alerts.rules.kinds.tilted import TILTED
from alerts.rules.place import Place
from alerts.rules.rule import DeviceRule, Finding, Look, LookTime, Rule
from simulators.fleet.offline import Case
from simulators.fleet.registration import place_name

HOUR = 3600 * SECOND
CLOCK_AHEAD = 300 * SECOND
HOLD_TIME_EVERY, LIMIT_EVERY = 2 * HOUR, HOUR // 3
"""How often estimates are noted, to see whether their intervals cover what then happens."""
_PLAN = (
    "lower_c",
    "upper_c",
    "critical_low_c",
    "critical_high_c",
    "deadband_c",
    "on_delay_s",
    "budget_s",
    "max_gap_s",
)


@dataclass(slots=True, kw_only=True)
class Alert:
    """An alert: when it was raised, since when it held, when it ended, and when it became critical."""

    kind: str
    name: str
    raised: Instant
    since: Instant
    details: dict[str, Any]
    message: str
    critical: Instant | None = None
    ended: Instant | None = None
    revisions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimate made at an instant: the earliest, median and latest time."""

    at: Instant
    low: Instant
    middle: Instant
    high: Instant


@dataclass(slots=True, kw_only=True)
class Course:
    """The course of a shipment: its facts and readings, its alerts, and the estimates made on the way."""

    case: Case
    facts: Facts
    trace: Trace
    alerts: list[Alert] = field(default_factory=list)
    hold_times: list[Estimate] = field(default_factory=list)
    limits: list[Estimate] = field(default_factory=list)


def facts_of(case: Case) -> Facts:
    """Return the registered facts of a shipment; a charge on the way is recorded when it is made."""
    given = case.shipment
    plan = make_plan(given["band"], {name: given[name] for name in _PLAN if name in given})
    assert not isinstance(plan, PlanRefused), plan
    dewar, journey = case.dewar, case.journey
    fillings = [Charge(at=wall(case, event.until_s)) for event in journey.events if event.what == "recharged"]
    places = {
        place_name(journey, end): Place(
            name=end.name,
            lat=end.lat,
            lon=end.lon,
            radius_m=1000 if end.airport is None else 5000,
            airport=end.airport is not None,
        )
        for leg in journey.planned
        for end in (leg.origin, leg.destination)
    }
    return Facts(
        plan=plan,
        window=Window(
            departed_at=wall(case, journey.departed_s), delivered_at=wall(case, journey.delivered_s)
        ),
        dewar=Dewar(
            dewar_id=dewar["dewar_id"],
            hold_time=round(dewar["hold_time_h"] * HOUR),
            ln2_capacity_kg=dewar.get("ln2_capacity_kg"),
            charges=(Charge(at=_instant(dewar["last_charged_at"])), *fillings),
        ),
        origin=places.get(given["origin"]),
        destination=places.get(given["destination"]),
        legs=tuple(
            Leg(
                start=places.get(leg["from"], Place(name=leg["from"])),
                end=places.get(leg["to"], Place(name=leg["to"])),
                planned_departure=_instant(leg["planned_departure"]),
                planned_arrival=_instant(leg["planned_arrival"]),
            )
            for leg in given["legs"]
        ),
        planned_departure=_instant(given["planned_departure"]),
        planned_arrival=_instant(given["planned_arrival"]),
        packed_out_at=_instant(given["packed_out_at"]),
        interval={case.device["device_id"]: round(case.device["interval_s"] * SECOND)},
    )


def wall(case: Case, journey_s: float) -> Instant:
    """Return the instant at `journey_s` seconds of the journey."""
    return case.journey.clock.wall_ms(journey_s) * 1000


def arriving(case: Case) -> tuple[Trace, NDArray[np.int64]]:
    """Return the readings that are stored, in the order of arrival, and when each arrives.

    Readings at a time that is stored already, or ahead of the clock, are refused."""
    sent = case.sent
    at, received = sent.measured_ms * 1000, case.received_ms * 1000
    _, first = np.unique(at, return_index=True)
    kept = np.zeros(len(at), bool)
    kept[first] = True
    kept &= at <= received + CLOCK_AHEAD
    columns = sent.columns
    channels: dict[Channel, Any] = {
        Channel.AMBIENT_C: columns.ambient_c,
        Channel.BATTERY_PCT: columns.battery_pct,
        Channel.TILT_DEG: sent.tilt_deg,
        Channel.SHOCK_G: sent.shock_g,
        Channel.LID_OPEN: sent.states.acts.lid_open.astype(np.float64),
        Channel.LAT: np.where(sent.fixes.known, sent.fixes.lat, np.nan),
        Channel.LON: np.where(sent.fixes.known, sent.fixes.lon, np.nan),
        Channel.ACCURACY_M: np.where(sent.fixes.known, sent.fixes.accuracy_m, np.nan),
        Channel.SEQ: columns.seq.astype(np.float64),
        Channel.BOOT: sent.boot.astype(np.float64),
        Channel.RECEIVED_AT: received.astype(np.float64),
        Channel.FLIGHT_MODE_UNTIL: np.where(sent.lands_ms >= 0, sent.lands_ms * 1000.0, np.nan),
    }
    if columns.temperature_2_c is not None:
        channels[Channel.SECOND_C] = columns.temperature_2_c
    if sent.ln2_kg is not None:
        channels[Channel.LN2_KG] = sent.ln2_kg
    celsius = np.where(columns.probe_ok, columns.temperature_c, np.nan)
    trace = Trace(at, celsius, {name: np.asarray(values, np.float64) for name, values in channels.items()})
    return _taken(trace, kept), received[kept]


def _taken(trace: Trace, rows: NDArray[Any]) -> Trace:
    channels = {name: values[rows] for name, values in trace.channels.items()}
    return Trace(trace.at[rows], trace.celsius[rows], channels)


_HANDLING = (PROBE_FAULT, TILTED, SHOCK, LID_OPEN, LOW_BATTERY, CLOCK_SKEW, LOGGER_MEMORY_GAP)
_BY_KIND: dict[str, Rule[Any, Any]] = {
    rule.kind: rule for rule in (*registry.RULES, *_HANDLING, HOLD_TIME_SHORT, EXCURSION_PREDICTED)
}
RULES: tuple[Rule[Any, Any], ...] = tuple(_BY_KIND.values())
"""All rules."""


def course(case: Case, rules: Sequence[Rule[Any, Any]] = RULES) -> Course:
    """Run one shipment through the rules."""
    arrived, received = arriving(case)
    facts = facts_of(case)
    within = (arrived.at >= facts.window.departed_at) & (arrived.at < (facts.window.delivered_at or 2**62))
    arrived, received = _taken(arrived, within), received[within]
    order = np.argsort(arrived.at, kind="stable")
    live = _Live(Course(case=case, facts=facts, trace=_taken(arrived, order)), rules)
    edges = np.flatnonzero(np.append(True, received[1:] != received[:-1])).tolist()
    seen = -1
    for begin, end in zip(edges, [*edges[1:], len(received)], strict=True):
        live.wait(int(received[begin]))
        part = arrived[begin:end]
        late = len(part.at) > 1 and bool((part.at[1:] <= part.at[:-1]).any())
        if late or int(part.at[0]) <= seen:
            part = _taken(arrived, np.argsort(arrived.at[:end], kind="stable"))
            live.states = [rule.state() for rule in rules]
        live.take(part, int(received[begin]))
        seen = max(seen, int(part.at[-1]))
    live.end()
    return live.course


class _Live:
    """One shipment in transit."""

    def __init__(self, course: Course, rules: Sequence[Rule[Any, Any]]) -> None:
        self.course, self._rules = course, rules
        self._tunings = [rule.tuning() for rule in rules]
        self.states: list[Any] = [rule.state() for rule in rules]
        self._again: list[Instant | None] = [None] * len(rules)
        self._live: dict[tuple[int, str], Alert] = {}
        self._newest = 0
        self._estimated = dict.fromkeys(range(len(rules)), 0)
        self._delivered = course.facts.window.delivered_at or 0

    def take(self, part: Trace, now: Instant) -> None:
        """Fold the readings that have arrived, and look at all rules."""
        self._newest = max(self._newest, int(part.at[-1]))
        for number, rule in enumerate(self._rules):
            if rule.reads and not rule.reads & part.channels.keys():
                continue
            self.states[number] = rule.fold(
                self._tunings[number], self.course.facts, self.states[number], part
            )
        for number in range(len(self._rules)):
            self._look(number, now)
            self._estimate(number, now)

    def wait(self, until: Instant) -> None:
        """Look at rules that have asked for it before the next upload."""
        for number in range(len(self._rules)):
            for _ in range(20):
                at = self._again[number]
                if at is None or at >= min(until, self._delivered):
                    break
                self._look(number, at)

    def end(self) -> None:
        """Look at all rules once the shipment has ended."""
        self.wait(self._delivered)

    def _look(self, number: int, now: Instant) -> None:
        if now >= self._delivered:
            return
        rule, facts = self._rules[number], self.course.facts
        device_id = self.course.case.device["device_id"] if isinstance(rule, DeviceRule) else None
        look_time = LookTime(
            through=max(now, self._newest), watched_from=facts.window.departed_at, device_id=device_id
        )
        state: Any = self.states[number] if isinstance(rule, DeviceRule) else [self.states[number]]
        look: Look = rule.look(self._tunings[number], facts, state, look_time)  # type: ignore[attr-defined]
        again = look.again_at
        self._again[number] = again if again is not None and again > now else None
        for name, found in (
            ("", look.found),
            *((name, look.also_found.get(name)) for name in rule.also_finds),
        ):
            self._tell(number, name, found, now)

    def _tell(self, number: int, name: str, found: Finding | None, now: Instant) -> None:
        on = self._live.get((number, name))
        if on is not None and (found is None or found.until is not None):
            on.ended = now
            del self._live[number, name]
            return
        if found is None:
            return
        if on is None:
            kind = str(self._rules[number].kind)
            told = [alert for alert in self.course.alerts if (alert.kind, alert.name) == (kind, name)]
            if found.until is not None and told and found.since <= (told[-1].ended or now):
                return  # it was alerted, and has ended
            on = Alert(
                kind=kind,
                name=name,
                raised=now,
                since=found.since,
                details=dict(found.details),
                message=found.message,
            )
            self.course.alerts.append(on)
            if found.until is not None:
                on.ended = now
            else:
                self._live[number, name] = on
        elif on.message != found.message:
            on.revisions += 1
            on.message = found.message
        if on.critical is None and found.severity is Severity.CRITICAL:
            on.critical = now

    def _estimate(self, number: int, now: Instant) -> None:
        rule, facts, state = self._rules[number], self.course.facts, self.states[number]
        every = HOLD_TIME_EVERY if rule is HOLD_TIME_SHORT else LIMIT_EVERY
        if now - self._estimated[number] < every or now >= self._delivered:
            return
        if rule is HOLD_TIME_SHORT:
            left = hold_time(self._tunings[number], facts, [state], now)
            into, found = self.course.hold_times, left and left.left_h
        elif rule is EXCURSION_PREDICTED and (number, "") in self._live:
            soon = time_to_limit(facts, state, now)
            into, found = self.course.limits, soon and soon.hours
        else:
            return
        if found is not None:
            self._estimated[number] = now
            low, middle, high = (now + round(hours * HOUR) for hours in found)
            into.append(Estimate(at=now, low=low, middle=middle, high=high))


def _instant(text: str) -> Instant:
    return to_instant(datetime.fromisoformat(text))
