"""Pure: one journey: one shipment with one logger, from switching the logger on to switching it off."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np

from simulators.instants import moment
from simulators.journeys.surroundings import JourneyEvent, Weather, surroundings
from simulators.loggers.faults import LoggerFault, faults_of
from simulators.loggers.instrument import Instrument, draw_instrument
from simulators.loggers.models import MODELS
from simulators.loggers.restarts import restart_ticks
from simulators.truth.oracle import TruePlan
from simulators.world.clock import JourneyClock
from simulators.world.coolants import ShipperFigures
from simulators.world.legs import JourneyLeg
from simulators.world.shippers import Shipper, ShipperUnit
from simulators.world.thermal_tracks import ThermalTrack, solve_tracks
from simulators.world.travel import Detour

BOOTS_SINCE_MS = 1_577_836_800_000  # 2020-01-01
# How many tracks are stepped together. More would be no faster, and need more memory at once.
TOGETHER = 1024


@dataclass(frozen=True, slots=True)
class BootSection:
    """The ticks from `first` to before `end`, which a logger numbers from 0 under one boot number."""

    boot: int
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Journey:
    """One shipment with one logger, from switching it on before departure to switching it off after delivery.

    Fields that end in `_s` are seconds of journey time since the start of the simulation. `planned` holds the
    legs as they were registered, `legs` as they really go. Readings are numbered by ticks, from 0 at
    switching on. `memory` is how many readings the logger keeps; None means what its model keeps.

    Whatever follows from these fields is computed when it is needed, and kept in the instance until
    `pack_away`.
    """

    index: int
    device_id: str
    shipment_id: str
    dewar_id: str
    story: str
    shipper: Shipper
    unit: ShipperUnit
    logger_model: str
    planned: tuple[JourneyLeg, ...]
    legs: tuple[JourneyLeg, ...]
    detours: tuple[Detour, ...]
    clock: JourneyClock
    interval_s: float
    on_s: float
    off_s: float
    events: tuple[JourneyEvent, ...]
    faults: tuple[LoggerFault, ...]
    weather: Weather
    noise_key: int
    memory: int | None = None

    def __hash__(self) -> int:
        return hash((self.shipment_id, self.device_id, self.noise_key))

    @property
    def departed_s(self) -> float:
        """Return when the shipment departs."""
        return self.legs[0].begins_s

    @property
    def delivered_s(self) -> float:
        """Return when the shipment is delivered."""
        return self.legs[-1].ends_s

    @property
    def boot(self) -> int:
        """Return the number of the logger's first boot: the milliseconds from 2020 to switching on.

        It grows with every switching on, over several runs of the simulator too. If it were a count from 0,
        the service would take the readings of a second run for those of the first.
        """
        return self.on_ms - BOOTS_SINCE_MS

    @property
    def tick_count(self) -> int:
        """Return how many ticks there are from switching on to switching off."""
        return math.ceil((self.off_s - self.on_s) / self.interval_s)

    @property
    def on_ms(self) -> int:
        """Return when the logger is switched on, in epoch milliseconds."""
        return self.clock.wall_ms(self.on_s)

    @property
    def off_ms(self) -> int:
        """Return when the logger is switched off, in epoch milliseconds."""
        return self.clock.wall_ms(self.off_s)

    @property
    def flights(self) -> tuple[JourneyLeg, ...]:
        """Return the legs that are flights."""
        return tuple(leg for leg in self.legs if leg.stage == "flight")

    @cached_property
    def silences(self) -> tuple[tuple[float, float], ...]:
        """Return the stretches in which nothing is sent: flights, and faults that silence the logger."""
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

    def silent_until_ms(self, now_ms: int) -> int | None:
        """Return when the silence under way ends, in epoch milliseconds; None if the logger can send."""
        for from_s, until_s in self.silences:
            if self.clock.wall_ms(from_s) <= now_ms:
                ends_ms = self.clock.wall_ms(min(until_s, self.off_s))
                if now_ms < ends_ms:
                    return ends_ms
        return None

    @cached_property
    def track(self) -> ThermalTrack:
        """Return the shipper's coolant and temperatures over the journey.

        For many journeys, call `solve_together` first.
        """
        packed: bytes | None = vars(self).get("_packed")
        if packed is None:
            return _solve([self])[0]
        return ThermalTrack.unpacked(self.shipper.coolant, self.unit.of(self.shipper), packed)

    @property
    def packed_away(self) -> bool:
        """Whether `pack_away` has been called."""
        return "_packed" in vars(self)

    @property
    def capacity(self) -> int:
        """Return how many readings the logger's memory holds before it overwrites the oldest."""
        return MODELS[self.logger_model].memory if self.memory is None else self.memory

    @cached_property
    def instrument(self) -> Instrument:
        """Return the logger, drawn from the journey's key."""
        return draw_instrument(
            self.noise_key,
            MODELS[self.logger_model],
            on_s=self.on_s,
            interval_s=self.interval_s,
            faults=self.faults,
        )

    @cached_property
    def sections(self) -> tuple[BootSection, ...]:
        """Return the stretches between restarts; a single one if there is no restart."""
        restarts = set(restart_ticks(self.instrument))
        edges = [0, *sorted(tick for tick in restarts if 0 < tick < self.tick_count), self.tick_count]
        return tuple(BootSection(self.boot + n, *ends) for n, ends in enumerate(pairwise(edges)))

    def plan(self) -> TruePlan:
        """Return the plan as it is registered: the limits of the shipper's band, and times in real time."""
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
    """Compute the tracks of many journeys in shared steps, so that `track` of each is there already."""
    kinds = sorted(
        (j for j in journeys if "track" not in vars(j)), key=lambda j: (j.shipper.coolant, j.off_s - j.on_s)
    )
    for _, group in groupby(kinds, key=lambda journey: journey.shipper.coolant):
        alike = list(group)
        for first in range(0, len(alike), TOGETHER):
            some = alike[first : first + TOGETHER]
            for journey, track in zip(some, _solve(some), strict=True):
                vars(journey)["track"] = track


def pack_away(journey: Journey) -> None:
    """Pack what follows from a journey into little memory, until it is needed again."""
    known = vars(journey)
    known.setdefault("_packed", journey.track.packed())
    for name in ("track", "instrument", "_fixed_instrument"):
        known.pop(name, None)


def _solve(journeys: Sequence[Journey]) -> list[ThermalTrack]:
    return solve_tracks(
        journeys[0].shipper.coolant,
        ShipperFigures.joined([journey.unit.of(journey.shipper) for journey in journeys]),
        [surroundings(j.legs, j.events, j.on_s, j.off_s, j.weather) for j in journeys],
        np.array([journey.shipper.starts_c for journey in journeys]),
    )
