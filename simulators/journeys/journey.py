"""Pure: one shipment with its one logger, from switching on to switching off, and all that follows from that."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np

from simulators.instants import moment
from simulators.journeys.surroundings import JourneyEvent, Weather, surroundings
from simulators.loggers.faults import Fault, faults_of
from simulators.loggers.instrument import Instrument, draw_instrument
from simulators.loggers.models import MODELS
from simulators.loggers.restarts import restart_ticks
from simulators.truth.oracle import TruePlan
from simulators.world.clock import JourneyClock
from simulators.world.coolants import ShipperFigures
from simulators.world.legs import JourneyLeg
from simulators.world.places import Waypoint
from simulators.world.shippers import Shipper, ShipperUnit
from simulators.world.thermal_tracks import ThermalTrack, solve_tracks
from simulators.world.travel import Detour

BOOTS_SINCE_MS = 1_577_836_800_000  # 2020-01-01
# Stepped together; more gain nothing and want more memory at once.
TOGETHER = 1024


@dataclass(frozen=True, slots=True)
class BootSection:
    """The readings from `first` to one before `end` that a logger counts from 0 on under one boot number."""

    boot: int
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Journey:
    """One shipment with its one logger, from switching it on before departure to switching it off after delivery.

    Times ending in `_s` are seconds of the journeys' clock since the start of the simulation. `planned` are the legs as
    they were registered, `legs` as they go. Readings are counted by ticks, from 0 at switching on. `memory` is how many
    of them the logger keeps at most; None is what its model does.
    """

    index: int
    device_id: str
    shipment_id: str
    dewar_id: str
    story: str
    shipper: Shipper
    particular: ShipperUnit
    logger_model: str
    planned: tuple[JourneyLeg, ...]
    legs: tuple[JourneyLeg, ...]
    detours: tuple[Detour, ...]
    clock: JourneyClock
    interval_s: float
    on_s: float
    off_s: float
    events: tuple[JourneyEvent, ...]
    faults: tuple[Fault, ...]
    sky: Weather
    noise_key: int
    memory: int | None = None

    def __hash__(self) -> int:
        return hash((self.shipment_id, self.device_id, self.noise_key))

    @property
    def departed_s(self) -> float:
        return self.legs[0].begins_s

    @property
    def delivered_s(self) -> float:
        return self.legs[-1].ends_s

    @property
    def boot(self) -> int:
        """Return a number that grows with each switching on, also over runs of the simulator: milliseconds since 2020.

        A count from 0 would begin again with every run, and the service would take new readings for old.
        """
        return self.on_ms - BOOTS_SINCE_MS

    @property
    def readings(self) -> int:
        """How many ticks there are from first to last."""
        return math.ceil((self.off_s - self.on_s) / self.interval_s)

    @property
    def on_ms(self) -> int:
        return self.clock.wall_ms(self.on_s)

    @property
    def off_ms(self) -> int:
        return self.clock.wall_ms(self.off_s)

    @property
    def flights(self) -> tuple[JourneyLeg, ...]:
        return tuple(leg for leg in self.legs if leg.stage == "flight")

    @property
    def places(self) -> tuple[Waypoint, ...]:
        """Return where it stays: origin, hubs, destination, each once, in the order of the plan and then of the way."""
        ends = [self.planned[0].origin, *(leg.destination for leg in self.planned + self.legs)]
        return tuple(dict.fromkeys(ends))

    @cached_property
    def quiet(self) -> tuple[tuple[float, float], ...]:
        """Return the stretches in which nothing is sent: flights, and what makes a logger fall silent."""
        stretches = [(leg.begins_s, leg.ends_s) for leg in self.flights]
        stretches += [
            (f.from_s, f.until_s) for f in faults_of(self.faults, "silent", "memory_overflow", "reboot")
        ]
        merged: list[tuple[float, float]] = []
        for from_s, until_s in sorted(stretches):
            if merged and from_s <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], until_s))
            else:
                merged.append((from_s, until_s))
        return tuple(merged)

    def speaks_ms(self, now_ms: int) -> int | None:
        """Return when the silence under way ends, in epoch milliseconds; None while it can send."""
        for from_s, until_s in self.quiet:
            if self.clock.wall_ms(from_s) <= now_ms:
                ends_ms = self.clock.wall_ms(min(until_s, self.off_s))
                if now_ms < ends_ms:
                    return ends_ms
        return None

    @cached_property
    def track(self) -> ThermalTrack:
        """Return how the shipper's coolant and payload go; `solve_together` is quicker for many."""
        packed: bytes | None = vars(self).get("_packed")
        if packed is None:
            return _solved([self])[0]
        return ThermalTrack.unpacked(self.shipper.coolant, self.particular.of(self.shipper), packed)

    @property
    def put_away(self) -> bool:
        """Whether it has been folded up by `put_away`."""
        return "_packed" in vars(self)

    @property
    def capacity(self) -> int:
        """How many readings the logger's memory holds: then the oldest are overwritten."""
        return MODELS[self.logger_model].memory if self.memory is None else self.memory

    @cached_property
    def instrument(self) -> Instrument:
        return draw_instrument(
            self.noise_key,
            MODELS[self.logger_model],
            on_s=self.on_s,
            interval_s=self.interval_s,
            faults=self.faults,
        )

    @cached_property
    def sections(self) -> tuple[BootSection, ...]:
        """Return the stretches between restarts; there is one where there is none."""
        restarts = set(restart_ticks(self.instrument))
        edges = [0, *sorted(tick for tick in restarts if 0 < tick < self.readings), self.readings]
        return tuple(BootSection(self.boot + n, *ends) for n, ends in enumerate(pairwise(edges)))

    def plan(self) -> TruePlan:
        """Return the plan as it is registered: limits of the shipper's band, times as they pass on the wall."""
        shipper, clock = self.shipper, self.clock
        return TruePlan(
            lower_c=shipper.lower_c,
            upper_c=shipper.upper_c,
            critical_low_c=shipper.critical_low_c,
            critical_high_c=shipper.critical_high_c,
            deadband_c=shipper.deadband_c,
            on_delay_s=clock.shortened(shipper.on_delay_s),
            budget_s=clock.shortened(shipper.budget_s),
            max_gap_s=clock.shortened(shipper.max_gap_s),
            departed_at=moment(clock.wall_ms(self.departed_s)),
            delivered_at=moment(clock.wall_ms(self.delivered_s)),
        )


def solve_together(journeys: Iterable[Journey]) -> None:
    """Find the tracks of many journeys in shared steps, so that `track` of each is there already."""
    kinds = sorted(
        (j for j in journeys if "track" not in vars(j)), key=lambda j: (j.shipper.coolant, j.off_s - j.on_s)
    )
    for _, group in groupby(kinds, key=lambda journey: journey.shipper.coolant):
        alike = list(group)
        for first in range(0, len(alike), TOGETHER):
            some = alike[first : first + TOGETHER]
            for journey, track in zip(some, _solved(some), strict=True):
                vars(journey)["track"] = track


def put_away(journey: Journey) -> None:
    """Fold up what follows from a journey, so that it takes little memory until it is asked for again."""
    known = vars(journey)
    known.setdefault("_packed", journey.track.packed())
    for name in ("track", "instrument", "_settled"):
        known.pop(name, None)


def _solved(journeys: Sequence[Journey]) -> list[ThermalTrack]:
    return solve_tracks(
        journeys[0].shipper.coolant,
        ShipperFigures.joined([journey.particular.of(journey.shipper) for journey in journeys]),
        [surroundings(j.legs, j.events, j.on_s, j.off_s, j.sky) for j in journeys],
        np.array([journey.shipper.starts_c for journey in journeys]),
    )
