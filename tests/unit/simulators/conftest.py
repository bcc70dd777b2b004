"""A fleet for each scenario, at 60 times real time from a fixed morning on."""

from datetime import UTC, datetime

import pytest

from simulators.fleet.fleet import Fleet
from simulators.instants import milliseconds
from simulators.scenarios.load import load_scenario as written
from simulators.world.airports import load_airports
from simulators.world.clock import JourneyClock

START_MS = milliseconds(datetime(2026, 3, 1, 8, tzinfo=UTC))


@pytest.fixture(scope="session")
def airports():
    return load_airports()


@pytest.fixture
def fleet_in(airports):
    def fleet(scenario="quiet-but-fine", *, size=24, seed=1, speed=60, waves=False, start_ms=START_MS):
        return Fleet(
            scenario=written(scenario),
            size=size,
            seed=seed,
            clock=JourneyClock(start_ms, speed),
            interval_s=60,
            waves=waves,
            airports=airports,
        )

    return fleet


@pytest.fixture
def journey(fleet_in):
    """A quiet journey of the first logger."""
    return next(fleet_in().journeys(0))
