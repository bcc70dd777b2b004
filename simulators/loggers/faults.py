"""Pure: what can go wrong with a logger, as data: which kind, from when to when, and how badly."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from simulators.arrays import Bools, Floats

FaultKind = Literal[
    "probe_open",
    "probe_short",
    "probe_stuck",
    "probe_spikes",
    "ambient_instead",
    "probe_swapped",
    "zone_mistake",
    "duplicate_timestamps",
    "memory_overflow",
    "reboot",
    "clock_drift",
    "battery_weak",
    "silent",
]
ProbeName = Literal["payload", "second"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

SHORT_CIRCUIT_C = -242.02
"""What a Pt100 of 0 ohm reads as: the zero of the Callendar-Van Dusen equation (IEC 60751) as drivers solve it."""
FULL_SCALE_C = 988.79
"""What an open Pt100 reads as at a MAX31865 with a reference of 430 ohm: full scale, where no fault bit is looked at."""


class FaultAmount(NamedTuple):
    """What `amount` means to a kind of fault, and what it is where nothing is said; `unit` "" takes none."""

    unit: str
    default: float | None = None


FAULT_AMOUNTS: dict[FaultKind, FaultAmount] = {
    "probe_open": FaultAmount(
        "°C that are read instead; without it the logger notices, and says probe_ok false"
    ),
    "probe_short": FaultAmount("°C that are read instead", SHORT_CIRCUIT_C),
    "probe_stuck": FaultAmount("°C at which it is stuck; without it, at what it showed when the fault began"),
    "probe_spikes": FaultAmount("°C, the height of spikes up and down", 40.0),
    "ambient_instead": FaultAmount(""),
    "probe_swapped": FaultAmount(""),
    "zone_mistake": FaultAmount("whole hours by which the clock is ahead", 1.0),
    "duplicate_timestamps": FaultAmount("readings that carry one and the same time", 2.0),
    "memory_overflow": FaultAmount("newest readings of the time of the fault that are kept", 100.0),
    "reboot": FaultAmount(""),
    "clock_drift": FaultAmount("s a day that the clock gains", 60.0),
    "battery_weak": FaultAmount("% of a full charge that are lost a day, beside what is used", 40.0),
    "silent": FaultAmount(""),
}
_WHOLE: frozenset[FaultKind] = frozenset({"zone_mistake", "duplicate_timestamps", "memory_overflow"})
_ENDING: dict[FaultKind, str] = {
    "reboot": "from which on the logger runs again",
    "memory_overflow": "when the logger is read out",
}
_OF_A_PROBE: frozenset[FaultKind] = frozenset({"probe_open", "probe_short", "probe_stuck", "probe_spikes"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault, from `from_s` (included) to `until_s` (not), in seconds of the journeys' clock.

    `amount` is what AMOUNTS says for the kind. `probe` is which one is broken, and `share` which part of the readings
    has a spike; other kinds do not look at these two. What makes no sense raises a ValueError for a person.
    """

    kind: FaultKind
    from_s: float
    until_s: float = math.inf
    amount: float | None = None
    probe: ProbeName = "payload"
    share: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; there are {', '.join(FAULT_KINDS)}")
        unit, default = FAULT_AMOUNTS[self.kind]
        if self.amount is not None and not unit:
            raise ValueError(f"{self.kind} takes no amount")
        if self.amount is None:
            object.__setattr__(self, "amount", default)
        if self.amount is not None and not math.isfinite(self.amount):
            raise ValueError(f"{self.kind}: the amount is {self.amount}: a number is needed, {unit}")
        if self.kind in _WHOLE and self.amount != round(self.level):
            raise ValueError(f"{self.kind}: the amount is {self.amount:g}: whole {unit} are needed")
        if self.kind in {"duplicate_timestamps", "memory_overflow"} and self.level < 1:
            raise ValueError(f"{self.kind}: the amount is {self.amount:g}: at least 1 is needed")
        if not self.from_s < self.until_s:
            raise ValueError(f"{self.kind} ends at {self.until_s:g} s, and begins at {self.from_s:g} s")
        if self.kind in _ENDING and not math.isfinite(self.until_s):
            raise ValueError(f"{self.kind}: an end is needed, {_ENDING[self.kind]}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"{self.kind}: the share is {self.share:g}: it goes from 0 to 1")

    @property
    def level(self) -> float:
        """The amount of a kind that always has one."""
        return 0.0 if self.amount is None else self.amount

    def acts(self, at_s: Floats) -> Bools:
        """Return for each instant whether the fault is there."""
        return (at_s >= self.from_s) & (at_s < self.until_s)

    def lasted_s(self, at_s: Floats) -> Floats:
        """Return for how long the fault has been there by each instant; after its end, for how long it was."""
        return np.clip(at_s - self.from_s, 0.0, self.until_s - self.from_s)


def faults_of(faults: Iterable[Fault], *kinds: FaultKind, probe: ProbeName | None = None) -> Iterator[Fault]:
    """Yield the faults of these kinds in their order; with `probe`, of a kind that breaks one, only those of that one."""
    for fault in faults:
        if fault.kind in kinds and (probe is None or fault.kind not in _OF_A_PROBE or fault.probe == probe):
            yield fault
