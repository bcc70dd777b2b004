"""Pure: what speaks against a charge that somebody has told of: a mass, a temperature or a flight that it does not fit.

A doubt is shown to people and changes no estimate: where a mass is measured, the estimate follows that anyway. Readings
close to the charge are left out, because people tell of a charge some minutes off, and because filling takes a while.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

from alerts.model import SECOND, Duration

WITHIN: Final[Duration] = 2 * 3600 * SECOND
"""Readings so long before and after a charge say what it has done."""
FLIGHT_WITHIN: Final[Duration] = 24 * 3600 * SECOND
"""The last reading before a charge says whether it was in flight, if it is no older."""
_APART: Final[Duration] = 15 * 60 * SECOND
_FEW: Final = 5
"""So many readings, those nearest to the charge, make a value."""


class Doubt(StrEnum):
    """What speaks against a charge."""

    LESS_THAN_BEFORE = "less_than_before"
    NO_MASS_GAINED = "no_mass_gained"
    STILL_WARM = "still_warm"
    IN_FLIGHT = "in_flight"


MEANING: Final[Mapping[Doubt, str]] = {
    Doubt.LESS_THAN_BEFORE: "The mass told is less than what a logger weighed before the charge.",
    Doubt.NO_MASS_GAINED: "A logger weighs no more after the charge than before it, and less than was told.",
    Doubt.STILL_WARM: "The payload was warm before the charge, and did not cool after it.",
    Doubt.IN_FLIGHT: "A logger had announced that it was in flight at that time.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reading near a charge: times are from the charge on, before it negative, in the journey's time."""

    at: Duration
    temperature_c: float | None = None
    ln2_kg: float | None = None
    flight_mode_until: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A charge as it was told: the mass after it, None for full; what the dewar holds; above which °C a payload is warm."""

    ln2_kg: float | None
    ln2_capacity_kg: float | None
    warm_c: float | None


def doubts(told: Told, traces: Sequence[Sequence[Seen]]) -> tuple[Doubt, ...]:
    """Return what speaks against a charge; `traces` has the readings near it, of each logger in their order."""
    return tuple(doubt for doubt, speaks in _TESTS.items() if any(speaks(told, trace) for trace in traces))


def _less_than_before(told: Told, trace: Sequence[Seen]) -> bool:
    before, _ = _around(trace, lambda seen: seen.ln2_kg)
    return told.ln2_kg is not None and before is not None and told.ln2_kg < before - max(0.1, 0.05 * before)


def _no_mass_gained(told: Told, trace: Sequence[Seen]) -> bool:
    before, after = _around(trace, lambda seen: seen.ln2_kg)
    claimed = told.ln2_kg if told.ln2_kg is not None else told.ln2_capacity_kg
    if before is None or after is None or claimed is None:
        return False
    return after <= before + 0.05 and after < claimed - max(0.1, 0.1 * claimed)


def _still_warm(told: Told, trace: Sequence[Seen]) -> bool:
    before, after = _around(trace, lambda seen: seen.temperature_c)
    if told.warm_c is None or before is None or after is None:
        return False
    return before > told.warm_c and after >= before - 1


def _in_flight(_told: Told, trace: Sequence[Seen]) -> bool:
    last = max((seen for seen in trace if seen.at <= 0), key=lambda seen: seen.at, default=None)
    return last is not None and last.flight_mode_until is not None and last.flight_mode_until > _APART


_TESTS: Final[Mapping[Doubt, Callable[[Told, Sequence[Seen]], bool]]] = {
    Doubt.LESS_THAN_BEFORE: _less_than_before,
    Doubt.NO_MASS_GAINED: _no_mass_gained,
    Doubt.STILL_WARM: _still_warm,
    Doubt.IN_FLIGHT: _in_flight,
}


def _around(
    trace: Sequence[Seen], value: Callable[[Seen], float | None]
) -> tuple[float | None, float | None]:
    """Return a value as it was before and as it was after the charge; None where it was not measured."""
    before = [one for seen in trace if -WITHIN <= seen.at <= -_APART and (one := value(seen)) is not None]
    after = [one for seen in trace if _APART <= seen.at <= WITHIN and (one := value(seen)) is not None]
    return (
        median(before[-_FEW:]) if before else None,
        median(after[:_FEW]) if after else None,
    )
