"""Pure: a logger is heard, but what it sends is refused: nobody knows how cold the product is, and it is no silence.

What counts was refused while the logger was on the shipment, and was said by the logger itself, or by whoever reads it out.
One refusal may be an accident of the line, and three in a row are a fault. What is refused for its clock is a fault at once:
it comes from each reading until somebody sets the clock. The hours of refusals that follow each other closely are one episode.
It is over when nothing has been refused for a while and readings are stored again.

An hour of contradictions at the logger's own interval is a clock that was set back, as local time is at the end of summer time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from alerts import wording
from alerts.alert_kinds import KINDS
from alerts.excursions.trace import Trace
from alerts.model import SECOND, AlertKind, Duration, Instant
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.facts import Facts, Refused
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, LookTime, Tuning
from telemetry.model import RefusalReason
from telemetry.timekeeping.faults import CERTAIN, WORDS, ClockFault
from telemetry.timekeeping.repeated_hour import repeats_an_hour

_SEVERITY = KINDS[AlertKind.READINGS_REFUSED].severity
_WHY: Final = {
    RefusalReason.NOT_JSON: "its messages cannot be read",
    RefusalReason.TOO_LARGE: "its messages are too large",
    RefusalReason.INVALID_READING: "they are not valid",
    RefusalReason.DEVICE_MISMATCH: "they name another logger",
    RefusalReason.CONFLICT: "they contradict what is stored for the same times",
    RefusalReason.CLOCK_AHEAD: "they carry times that have not come",
    RefusalReason.CLOCK_BEHIND: "they carry times that cannot be",
}


_CORRECTED: Final = (
    "As that is certain, the service corrects their times, on record, and judges them; have its clock set"
)
_TO_CORRECT: Final = "Have its clock set, and correct their times on record: then they count"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsRefusedTuning(Tuning):
    """How many refusals are a fault, where it is not the clock; and for how long none may come until it is over."""

    least: float = 3
    quiet_s: float = 3600


@dataclass(frozen=True, slots=True)
class ReadingsRefusedState:
    """The newest reading that was stored."""

    seen: Instant | None = None


class ReadingsRefused(DeviceRule[ReadingsRefusedTuning, ReadingsRefusedState]):
    """A logger that is heard, but refused."""

    kind: ClassVar[AlertKind] = AlertKind.READINGS_REFUSED
    tuning = ReadingsRefusedTuning
    state = ReadingsRefusedState
    ranges: ClassVar = {"least": (1, 1_000_000), "quiet_s": (60, 604_800)}

    def fold(
        self, tuning: ReadingsRefusedTuning, facts: Facts, state: ReadingsRefusedState, trace: Trace
    ) -> ReadingsRefusedState:
        """Record the newest reading."""
        del tuning, facts, state
        return ReadingsRefusedState(seen=int(trace.at[-1]))

    def look(
        self,
        tuning: ReadingsRefusedTuning,
        facts: Facts,
        state: ReadingsRefusedState,
        look_time: LookTime,
    ) -> Look:
        """Report the newest episode that is a fault; the clock ends it."""
        if not facts.refused or look_time.device_id is None:
            return NOTHING
        quiet, through = round(tuning.quiet_s * SECOND), look_time.through
        for episode in _episodes(facts, look_time, quiet):
            fault = _clock_fault(episode, facts.interval.get(look_time.device_id))
            if fault is None and sum(hour.readings for hour in episode) < tuning.least:
                continue
            last = min(through, max(hour.last for hour in episode))
            is_quiet = through - last >= quiet
            is_stored_again = state.seen is not None and state.seen > last - facts.plan.max_gap
            return Look(
                found=Finding(
                    severity=_SEVERITY,
                    message=_message(facts, episode, fault),
                    since=episode[0].first,
                    until=last if is_quiet and is_stored_again else None,
                    details=_details(facts, episode, fault),
                ),
                again_at=None if is_quiet else last + quiet,
            )
        return NOTHING


def _episodes(facts: Facts, look_time: LookTime, quiet: Duration) -> list[list[Refused]]:
    """Return hours of refusals, since the departure and up to now, that follow each other closely: the newest first."""
    assert look_time.device_id is not None
    found: list[list[Refused]] = []
    end: Instant = 0
    for hour in sorted(facts.refused.get(look_time.device_id, ()), key=lambda one: one[2:4]):
        if hour.last < facts.window.departed_at or hour.first > look_time.through:
            continue
        if found and hour.first - end <= quiet:
            found[-1].append(hour)
        else:
            found.append([hour])
            end = hour.last
        end = max(end, hour.last)
    return found[::-1]


def _clock_fault(episode: Sequence[Refused], interval: Duration | None) -> ClockFault | None:
    """Return what is wrong with the clock by the first refusals that show it; None: nothing shows that."""
    named = next((hour.fault for hour in episode if hour.fault), None)
    if named is not None:
        return ClockFault(named) if named in WORDS else ClockFault.BEHIND
    contradicted = [at for hour in episode for at in hour.instants]
    if not contradicted:
        return None
    late_by = min(hour.first for hour in episode if hour.instants) - min(contradicted)
    return ClockFault.HOUR_REPEATED if repeats_an_hour(contradicted, interval, late_by) else None


def _message(facts: Facts, episode: Sequence[Refused], fault: ClockFault | None) -> str:
    since = clock_text(facts, episode[0].first)
    if fault is None:
        why = _WHY.get(RefusalReason(episode[0].reason), "they cannot be stored")
        return f"Logger is heard, but its readings have been refused since {since}: {why}. One of them: {episode[0].detail}"
    if fault is ClockFault.HOUR_REPEATED:
        return (
            f"Logger is heard, but its readings have been refused since {since}: {WORDS[fault]}, and what it measured in the "
            "second hour contradicts the first. Correct its clock on record, and have it set to UTC"
        )
    told = next((hour for hour in episode if hour.fault), episode[0])
    example = ""
    if told.sent_at is not None:
        example = f"; the first said {clock_text(facts, told.sent_at)}"
        if told.true_at is not None:
            example += f" and was probably measured {clock_text(facts, told.true_at)}"
    return (
        f"Logger is heard, but its readings have been refused since {since}: {WORDS[fault]}{example}. "
        f"{_outside(facts, episode)}{_CORRECTED if fault in CERTAIN else _TO_CORRECT}"
    )


def _outside(facts: Facts, episode: Sequence[Refused]) -> str:
    """Return that what was refused would leave the limits, if only its time were known; else nothing.

    Without figures, which would change with every reading.
    """
    limits = facts.plan.limits
    upper, lower = limits.upper_c, limits.lower_c
    beyond = []
    if upper is not None and any(hour.most_c is not None and hour.most_c > upper for hour in episode):
        beyond.append(f"above {wording.temperature(upper)}")
    if lower is not None and any(hour.least_c is not None and hour.least_c < lower for hour in episode):
        beyond.append(f"below {wording.temperature(lower)}")
    return f"Some of them are {' and '.join(beyond)}, whenever that was. " if beyond else ""


def _details(facts: Facts, episode: Sequence[Refused], fault: ClockFault | None) -> dict[str, object]:
    details: dict[str, object] = {"reasons": sorted({hour.reason for hour in episode})}
    if fault is not None:
        details["clock_fault"] = fault.value
        told = next((hour for hour in episode if hour.fault), None)
        if told is not None and told.sent_at is not None:
            details["sent_at"] = clock_detail(facts, told.sent_at)
            if told.true_at is not None:
                details["probably_measured_at"] = clock_detail(facts, told.true_at)
    return details


READINGS_REFUSED = ReadingsRefused()
