"""Pure: what can happen to a shipment and its logger, and how bad it usually is."""

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

# What `amount` means to a trouble, and the range that it is drawn from unless a scenario says otherwise.
TROUBLE_AMOUNTS: Mapping[Trouble, tuple[str, Bounds]] = {
    "tipped": ("degrees from upright", (80, 100)),
    "upside_down": ("degrees from upright", (165, 180)),
    "hot_tarmac": ("K that the sun adds", (45, 52)),
    "cold_apron": ("K that the frost adds, below 0", (-45, -38)),
    "leaking": ("times the heat leak of a sound vacuum", (3, 5)),
    "dropped": ("g of the shock", (40, 90)),
    "forced_air": ("share of the full effect", (0.3, 1)),
}
# How long things last, in minutes, unless a scenario says otherwise. Anything else lasts to the end of the
# journey.
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
    """Something that begins some minutes after a stage began, and lasts a while.

    Ranges are drawn from, once a journey. `which` is the index of the leg among those of the stage, -1 the
    last. A negative `after_min` lies before the stage. A detour lengthens its stage instead. `amount`,
    `probe` and `share` mean what TROUBLE_AMOUNTS, or `faults.LoggerFault`, says for the kind. `chance` is the
    probability that it happens at all.
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
    """Whether a kind is a trouble of the shipper."""
    return what in TROUBLES


def is_detour(what: HappeningKind) -> TypeGuard[DetourKind]:
    """Whether a kind is a detour of the route."""
    return what in DETOUR_KINDS


def is_fault(what: HappeningKind) -> TypeGuard[FaultKind]:
    """Whether a kind is a fault of the logger."""
    return what in FAULT_KINDS
