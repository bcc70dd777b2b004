"""Pure: what can happen to a shipment and its logger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

from simulators.loggers.faults import FAULT_KINDS, FaultKind, ProbeName
from simulators.world.legs import Stage
from simulators.world.travel import DETOUR_KINDS, DetourKind

Trouble = Literal[
    "lid_open",
    "tipped",
    "upside_down",
    "hot_tarmac",
    "cold_apron",
    "leaking",
    "recharged",
    "dropped",
    "forced_air",
]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
HappeningKind = Trouble | DetourKind | FaultKind
HAPPENING_KINDS: tuple[HappeningKind, ...] = (*TROUBLES, *DETOUR_KINDS, *FAULT_KINDS)

Bounds = tuple[float, float]

# What `amount` means to a trouble, and what it is where a scenario does not say.
TROUBLE_AMOUNTS: Mapping[Trouble, tuple[str, Bounds]] = {
    "tipped": ("degrees from upright", (80, 100)),
    "upside_down": ("degrees from upright", (165, 180)),
    "hot_tarmac": ("K by which the sun makes it warmer", (45, 52)),
    "cold_apron": ("K by which it is warmer, below 0", (-45, -38)),
    "leaking": ("times the heat leak of a sound vacuum", (3, 5)),
    "dropped": ("g of the shock", (40, 90)),
    "forced_air": ("share of the full effect", (0.3, 1)),
}
# How long things last, in minutes, where a scenario does not say; all else lasts until the end.
LASTS_MIN: Mapping[HappeningKind, Bounds] = {
    "delayed": (120, 480),
    "missed_connection": (480, 1440),
    "wrong_hub": (240, 840),
    "recharged": (10, 20),
    "dropped": (0.02, 0.02),
    "reboot": (5, 30),
    "memory_overflow": (600, 1200),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoryHappening:
    """Something that begins so many minutes after a stage did, and lasts; what is drawn from ranges has two numbers.

    `which` is the so-manieth of such a stage, -1 the last. A negative `after_min` is before the stage. A detour lengthens
    its stage instead. `amount`, `probe` and `share` are what AMOUNTS, or `faults.Fault`, say for the kind. `chance` is
    how likely it is to happen at all.
    """

    what: HappeningKind
    stage: Stage
    which: int = 0
    after_min: Bounds = (0.0, 0.0)
    lasts_min: Bounds | None = None
    amount: Bounds | None = None
    probe: ProbeName = "payload"
    share: float = 0.05
    chance: float = 1.0


def is_trouble(what: HappeningKind) -> TypeGuard[Trouble]:
    return what in TROUBLES


def is_detour(what: HappeningKind) -> TypeGuard[DetourKind]:
    return what in DETOUR_KINDS


def is_fault(what: HappeningKind) -> TypeGuard[FaultKind]:
    return what in FAULT_KINDS
