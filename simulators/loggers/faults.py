"""Pure: what can go wrong with a logger: the kind of fault, when it lasts, and how bad it is."""

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

# A Pt100 of 0 ohm reads as the zero of the Callendar-Van Dusen equation (IEC 60751), as drivers solve it.
SHORT_CIRCUIT_C = -242.02


class FaultAmount(NamedTuple):
    """What `amount` means to a kind of fault, and its default.

    An empty `unit` means that the kind takes no amount.
    """

    unit: str
    default: float | None = None


FAULT_AMOUNTS: dict[FaultKind, FaultAmount] = {
    "probe_open": FaultAmount(
        "°C that is read instead; without it the logger notices, and sends probe_ok false"
    ),
    "probe_short": FaultAmount("°C that is read instead", SHORT_CIRCUIT_C),
    "probe_stuck": FaultAmount(
        "°C at which the probe is stuck; without it, what it showed when the fault began"
    ),
    "probe_spikes": FaultAmount("°C, the height of spikes up and down", 40.0),
    "ambient_instead": FaultAmount(""),
    "probe_swapped": FaultAmount(""),
    "zone_mistake": FaultAmount("whole hours by which the clock is ahead", 1.0),
    "duplicate_timestamps": FaultAmount("readings that carry the same time", 2.0),
    "memory_overflow": FaultAmount("readings that are kept, the newest from the time of the fault", 100.0),
    "reboot": FaultAmount(""),
    "clock_drift": FaultAmount("s that the clock gains a day", 60.0),
    "battery_weak": FaultAmount("% of a full charge that is lost a day, besides what is used", 40.0),
    "silent": FaultAmount(""),
}
WHOLE_AMOUNTS: frozenset[FaultKind] = frozenset({"zone_mistake", "duplicate_timestamps", "memory_overflow"})
NEED_AN_END: dict[FaultKind, str] = {
    "reboot": "when the logger runs again",
    "memory_overflow": "when the logger is read out",
}
_OF_A_PROBE: frozenset[FaultKind] = frozenset({"probe_open", "probe_short", "probe_stuck", "probe_spikes"})


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggerFault:
    """One fault, from `from_s` (included) to `until_s` (excluded), in seconds of journey time.

    `amount` means what FAULT_AMOUNTS says for the kind. `probe` is the probe that is broken, and `share` the
    share of readings that have a spike; other kinds ignore these two. Raises a ValueError, in words for a
    person, for a fault that makes no sense.
    """

    kind: FaultKind
    from_s: float
    until_s: float = math.inf
    amount: float | None = None
    probe: ProbeName = "payload"
    share: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; choose from {', '.join(FAULT_KINDS)}")
        unit, default = FAULT_AMOUNTS[self.kind]
        if self.amount is not None and not unit:
            raise ValueError(f"{self.kind} takes no amount")
        if self.amount is None:
            object.__setattr__(self, "amount", default)
        if self.amount is not None and not math.isfinite(self.amount):
            raise ValueError(f"{self.kind}: the amount is {self.amount}: it must be a number, {unit}")
        if self.kind in WHOLE_AMOUNTS and self.amount != round(self.level):
            raise ValueError(f"{self.kind}: the amount is {self.amount:g}: it must be a whole number")
        if self.kind in {"duplicate_timestamps", "memory_overflow"} and self.level < 1:
            raise ValueError(f"{self.kind}: the amount is {self.amount:g}: it must be at least 1")
        if not self.from_s < self.until_s:
            raise ValueError(f"{self.kind} ends at {self.until_s:g} s, but begins at {self.from_s:g} s")
        if self.kind in NEED_AN_END and not math.isfinite(self.until_s):
            raise ValueError(f"{self.kind}: it needs an end, {NEED_AN_END[self.kind]}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"{self.kind}: the share is {self.share:g}: it must be from 0 to 1")

    @property
    def level(self) -> float:
        """Return the amount of a kind that always has one."""
        return 0.0 if self.amount is None else self.amount

    def acts(self, at_s: Floats) -> Bools:
        """Whether the fault is present at each instant."""
        return (at_s >= self.from_s) & (at_s < self.until_s)

    def lasted_s(self, at_s: Floats) -> Floats:
        """Return how long the fault has lasted by each instant; after its end, how long it lasted in all."""
        return np.clip(at_s - self.from_s, 0.0, self.until_s - self.from_s)


def faults_of(
    faults: Iterable[LoggerFault], *kinds: FaultKind, probe: ProbeName | None = None
) -> Iterator[LoggerFault]:
    """Yield the faults of these kinds, in order. `probe` leaves out faults of the other probe."""
    for fault in faults:
        if fault.kind in kinds and (probe is None or fault.kind not in _OF_A_PROBE or fault.probe == probe):
            yield fault
