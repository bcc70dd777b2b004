"""Pure: simulated shipments without broker and service: readings in order of arrival, and the truth.

Rules can be judged with it over thousands of shipments; docs/simulator.md has an example.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np

from simulators.arrays import Ints
from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import device_body, dewar_body, plan_places, shipment_body
from simulators.fleet.truth_file import truth_of_shipment
from simulators.instants import milliseconds, moment
from simulators.journeys.journey import TOGETHER, Journey, solve_together
from simulators.journeys.kept import kept_mask
from simulators.journeys.observed import ObservedReadings, observe_journey
from simulators.journeys.outcome import JourneyOutcome, outcome_of
from simulators.journeys.ticks import ticks_taken_by
from simulators.scenarios.scenario import Scenario
from simulators.world.clock import JourneyClock
from simulators.world.noise import uniform
from simulators.world.places import Airport

# A reading arrives some seconds after it was taken, or some time after a silence has ended.
LATENCY_MS, LATENCY_SPREAD_MS = 1500, 4000
RECONNECT_MS, BATCH_SIZE, BATCH_MS = 20_000, 200, 2000

_LATENCY = 48


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One simulated shipment.

    `received_ms` is when each row of `sent` arrives, in epoch milliseconds, ascending.
    """

    journey: Journey
    device: dict[str, Any]
    dewar: dict[str, Any]
    shipment: dict[str, Any]
    sites: list[dict[str, Any]]
    outcome: JourneyOutcome
    sent: ObservedReadings
    received_ms: Ints

    def uploads(self) -> Iterator[tuple[datetime, list[dict[str, Any]]]]:
        """Yield the readings in the order of arrival, those of one message together."""
        rows = zip(self.received_ms.tolist(), self.sent.readings(), strict=True)
        for received_ms, some in groupby(rows, key=lambda row: row[0]):
            yield moment(received_ms), [reading for _, reading in some]

    def truth(self) -> dict[str, Any]:
        """Return what `--truth` writes about the shipment, as of its end."""
        return truth_of_shipment(self.journey, self.journey.off_ms)


def cases(
    scenario: Scenario,
    airports: Mapping[str, Airport],
    *,
    seed: int,
    count: int,
    start: datetime,
    interval_s: float = 600.0,
    organization: str = "simulated",
) -> Iterator[Case]:
    """Yield `count` shipments of a scenario, in real time from `start`.

    There is one reading each `interval_s` seconds.
    """
    fleet = Fleet(
        scenario=scenario,
        size=count,
        seed=seed,
        clock=JourneyClock(milliseconds(start), 1.0),
        interval_s=interval_s,
        waves=False,
        airports=airports,
    )
    for first in range(0, count, TOGETHER):
        journeys = [next(fleet.journeys(index)) for index in range(first, min(count, first + TOGETHER))]
        solve_together(journeys)
        for journey in journeys:
            yield _case(fleet, journey, organization)


def _case(fleet: Fleet, journey: Journey, organization: str) -> Case:
    ticks = np.flatnonzero(kept_mask(journey))
    ticks = ticks[ticks < ticks_taken_by(journey, journey.off_ms)]
    received_ms = arrivals(journey, ticks)
    order = np.argsort(received_ms, kind="stable")
    return Case(
        journey=journey,
        device=device_body(fleet, journey.index),
        dewar=dewar_body(journey),
        shipment=shipment_body(journey, organization),
        sites=plan_places(journey),
        outcome=outcome_of(journey),
        sent=observe_journey(journey, ticks[order]),
        received_ms=received_ms[order],
    )


def arrivals(journey: Journey, ticks: Ints) -> Ints:
    """Return when each reading arrives: at once, or in messages of up to 200 readings after a silence."""
    clock = journey.clock
    taken_ms = clock.walls_ms(journey.instrument.at_s(ticks))
    spread_ms = (LATENCY_SPREAD_MS * uniform(journey.noise_key, ticks, _LATENCY)).astype(np.int64)
    received_ms = taken_ms + LATENCY_MS + spread_ms
    for from_s, until_s in journey.silences:
        from_ms, until_ms = clock.wall_ms(from_s), clock.wall_ms(min(until_s, journey.off_s))
        kept = np.flatnonzero((taken_ms >= from_ms) & (taken_ms < until_ms))
        received_ms[kept] = until_ms + RECONNECT_MS + BATCH_MS * (np.arange(len(kept)) // BATCH_SIZE)
    return received_ms
