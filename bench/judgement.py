"""Compares the alerts of one simulated shipment with what truly happened to it."""

from dataclasses import dataclass
from datetime import datetime

from alerts.alert_kinds import KINDS
from alerts.excursions.fold_trace import evaluate_trace
from alerts.model import AlertKind, Instant, to_instant
from bench.shipments import HOUR, Alert, Course, Estimate, wall
from simulators.instants import moment, rfc3339

PROBE_FAULTS = frozenset(
    {"probe_open", "probe_short", "probe_stuck", "probe_spikes", "ambient_instead", "probe_swapped"}
)
SWAPPED = "probe_swapped"
RIGHTED = frozenset({"tipped", "upside_down", "recharged"})
"""Events that end on the way, or that put right what was wrong."""
SEEN_AFTER = HOUR
"""A fault that begins later than this before delivery need not be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A probe fault, and how long after its beginning it was alerted; None if it was not."""

    kind: str
    told_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict on one shipment; durations are in µs, and None if something never happened."""

    story: str
    shipper: str
    readings: int
    days: float
    excursions: int
    missed: int
    invented: int
    lost: bool
    foretold: bool
    """Whether its loss was predicted, by forecast or hold time, before its payload left the band."""
    unheard: bool
    """Whether the logger was silent when the payload left its band."""
    lead: int | None
    """From the hold-time alert until the coolant was used up."""
    false: tuple[str, ...]
    """The kinds of forecasts that did not come true."""
    averted: int
    """Forecasts that would have come true, had the dewar not been stood upright or charged."""
    hold_times: tuple[int, int, int]
    """How often the coolant was used up within the interval, before it, and after it."""
    limits: tuple[int, int, int]
    """Likewise for the payload leaving its band; deliveries before the interval's end count in none."""
    faults: tuple[Fault, ...]
    hidden: int
    """Misplaced probes in loggers without a second one: no reading shows these."""
    doubted: int
    """Excursions of a sound probe during which a probe fault was alerted."""
    neither: int
    """Times out of range that were alerted neither as an excursion nor as a probe fault."""
    alerts: dict[str, int]


def judged(course: Course) -> Judged:
    """Compare one shipment's alerts with the truth."""
    case, facts = course.case, course.facts
    journey, outcome, truth = case.journey, case.outcome, case.truth()
    delivered = facts.window.delivered_at or 0
    leaves = None if outcome.leaves_band_s is None else wall(case, outcome.leaves_band_s)
    used_up = _used_up(course)
    expected = {tuple(one.values()) for one in truth["excursions"]}
    found = _excursions(course)
    of_probe = _probe_faults(course)
    foretold = [alert for alert in course.alerts if KINDS[alert.kind].foretells]
    hold = [alert for alert in foretold if alert.kind == AlertKind.HOLD_TIME_SHORT]
    lost = outcome.lost and leaves is not None
    before = [
        alert for alert in hold if used_up is not None and used_up < delivered and alert.raised < used_up
    ]
    verdicts = [_verdict(course, alert, leaves, used_up) for alert in foretold]
    starts = sorted(_instant(one["start"]) for one in truth["excursions"])
    # An excursion that only a faulty probe shows is not the payload's.
    sound = [] if of_probe or leaves is None else starts
    doubts = [alert for alert in course.alerts if alert.kind == AlertKind.PROBE_FAULT]
    return Judged(
        story=journey.story,
        shipper=journey.shipper.name,
        readings=len(course.trace),
        days=(delivered - facts.window.departed_at) / (24 * HOUR),
        excursions=len(expected),
        missed=len(expected - found),
        invented=len(found - expected),
        lost=lost,
        foretold=lost and any(alert.raised < (leaves or 0) for alert in foretold),
        unheard=leaves is not None
        and any(wall(case, a) <= leaves < wall(case, min(b, journey.off_s)) for a, b in journey.silences),
        lead=None if not before or used_up is None else used_up - before[-1].raised,
        false=tuple(
            alert.kind for alert, verdict in zip(foretold, verdicts, strict=True) if verdict == "false"
        ),
        averted=verdicts.count("averted"),
        hold_times=_covered(course.hold_times, lambda _: used_up, delivered, censored=False),
        limits=_covered(
            course.limits,
            lambda at: next((start for start in starts if start >= at), None),
            delivered,
            censored=True,
        ),
        faults=of_probe,
        hidden=sum(f.kind == SWAPPED and not _shows(course, f.kind) for f in journey.faults),
        doubted=sum(any(_during(doubt, start) for doubt in doubts) for start in sound),
        neither=int(leaves is not None and delivered - leaves > HOUR and not found and not doubts),
        alerts=_counted(course, len(found)),
    )


def _used_up(course: Course) -> Instant | None:
    if course.case.journey.shipper.coolant == "phase-change":
        return None
    until_s = course.case.outcome.coolant_until_s
    return None if until_s is None else wall(course.case, until_s)


def _verdict(course: Course, alert: Alert, leaves: Instant | None, used_up: Instant | None) -> str:
    """Return whether a forecast came true (`came`), was `averted`, `overtaken` by delivery, or `false`."""
    delivered = course.facts.window.delivered_at or 0
    if alert.kind == AlertKind.EXCURSION_PREDICTED:
        if alert.details["foreseen"] == "budget_exhausted" or leaves is not None:
            return "came"
        latest = alert.raised + alert.details["time_to_limit_h"][2] * HOUR
        return "overtaken" if latest >= delivered else "false"
    if used_up is not None and used_up <= delivered + MARGIN:
        return "came"
    righted = any(
        event.what in RIGHTED
        and wall(course.case, min(event.until_s, course.case.journey.off_s)) > alert.raised
        for event in course.case.journey.events
    )
    return "averted" if righted else "false"


MARGIN = 6 * HOUR
"""An alert about coolant that is used up within this time after delivery was right."""


def _covered(estimates: list[Estimate], truth, delivered: Instant, *, censored: bool) -> tuple[int, int, int]:
    """Count how often the event came within the estimate's interval, before it, and after it."""
    counts = [0, 0, 0]
    for one in estimates:
        came = truth(one.at)
        if came is None:
            if not (censored and one.high >= delivered):
                counts[2] += 1
        elif came >= one.at:
            counts[1 if came < one.low else 2 if came > one.high else 0] += 1
    return counts[0], counts[1], counts[2]


def _excursions(course: Course) -> set[tuple[object, ...]]:
    """Return the excursions in the readings, in the format of the truth file."""
    facts = course.facts
    ended = wall(course.case, course.case.journey.off_s)
    evaluation = evaluate_trace(facts.plan, facts.window, course.trace, ended)
    return {
        (
            str(run.side),
            _text(run.start),
            None if run.end is None else _text(run.end),
            None if run.ended_by is None else str(run.ended_by),
            run.peak_c,
            str(run.severity),
            run.has_gap,
        )
        for run in evaluation.excursions
    }


def _probe_faults(course: Course) -> tuple[Fault, ...]:
    """Return the probe faults that lasted long enough to be found, and how soon each was alerted."""
    case, facts = course.case, course.facts
    delivered = facts.window.delivered_at or 0
    told = sorted(alert.raised for alert in course.alerts if alert.kind == AlertKind.PROBE_FAULT)
    faults = []
    for fault in case.journey.faults:
        begins = max(wall(case, fault.from_s), facts.window.departed_at)
        if _shows(course, fault.kind) and begins + SEEN_AFTER < delivered:
            after = next((raised - begins for raised in told if raised >= begins), None)
            faults.append(Fault(kind=fault.kind, told_after=after))
    return tuple(faults)


def _shows(course: Course, kind: str) -> bool:
    """Return whether a probe fault can show in readings; that a logger's only probe is misplaced cannot."""
    return kind in PROBE_FAULTS and (kind != SWAPPED or course.case.sent.columns.temperature_2_c is not None)


def _during(alert: Alert, at: Instant) -> bool:
    return alert.since <= at + HOUR and (alert.ended is None or alert.ended >= at)


def _counted(course: Course, excursions: int) -> dict[str, int]:
    counts = {str(AlertKind.EXCURSION): excursions}
    for alert in course.alerts:
        counts[alert.kind] = counts.get(alert.kind, 0) + 1
    return {kind: count for kind, count in counts.items() if count}


def _instant(text: str) -> Instant:
    return to_instant(datetime.fromisoformat(text))


def _text(at: Instant) -> str:
    return rfc3339(moment(at // 1000))
