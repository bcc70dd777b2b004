"""The settings of a simulation, and their checks."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from simulators.fleet.fleet import Fleet
from simulators.instants import milliseconds
from simulators.scenarios.load import load_scenario
from simulators.scenarios.scenario import on_lane
from simulators.world.airports import load_airports
from simulators.world.clock import JourneyClock


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationSettings:
    """What to simulate, and where to send it.

    `start` is the real time at journey time zero; with the same seed, speed and start, a simulation continues
    where it was. `duration_s` is in real time; None means until the last journey ends, or with `waves`
    without end. After that, the loggers have `read_out_s` to be read out. `memory` is how many readings a
    logger keeps; None means what its model keeps. Without `api_url` nothing is registered. `truth` and
    `record` are files to write. With a `lane`, as IATA codes, all shipments take that one. Shipments of a
    `drill` are registered as such, and count in no statistics.
    """

    mqtt_url: str = field(repr=False)
    start: datetime
    scenario: str = "demo"
    fleet: int = 24
    speed: float = 60.0
    seed: int = 1
    interval_s: float = 60.0
    memory: int | None = None
    duration_s: float | None = None
    read_out_s: float = 30.0
    waves: bool = False
    api_url: str | None = None
    api_key: str = field(default="", repr=False)
    organization: str = "simulated"
    truth: Path | None = None
    record: Path | None = None
    lane: tuple[str, ...] | None = None
    drill: bool = False
    messages_under_way: int = 1000
    ack_timeout_s: float = 10.0


def check_settings(settings: SimulationSettings) -> None:
    """Raise a ValueError, or a ScenarioError, that tells a person what is wrong with the settings."""
    load_scenario(settings.scenario)
    if settings.fleet < 1:
        raise ValueError("the fleet needs at least one logger")
    if settings.memory is not None and settings.memory < 1:
        raise ValueError("a logger's memory holds at least one reading")
    if settings.seed < 0:
        raise ValueError("the seed must not be negative")
    if settings.speed <= 0 or settings.interval_s <= 0:
        raise ValueError("speed and interval must be above 0")
    if settings.interval_s / settings.speed < 0.001:
        raise ValueError(
            "a logger would take more than 1000 readings a second: lower the speed or raise the interval"
        )
    if settings.start.tzinfo is None:
        raise ValueError("the start needs a time zone")
    if settings.lane is not None:
        if len(settings.lane) < 2:
            raise ValueError("a lane needs at least two airports, such as ZRH-FRA-JFK")
        if unknown := [code for code in settings.lane if code not in load_airports()]:
            raise ValueError(
                f"there is no airport {', '.join(unknown)}: "
                "a lane consists of IATA codes, such as ZRH-FRA-JFK"
            )


def build_fleet(settings: SimulationSettings) -> Fleet:
    """Return the fleet that the settings describe."""
    chosen = load_scenario(settings.scenario)
    return Fleet(
        scenario=chosen if settings.lane is None else on_lane(chosen, settings.lane),
        size=settings.fleet,
        seed=settings.seed,
        clock=JourneyClock(milliseconds(settings.start), settings.speed),
        interval_s=settings.interval_s,
        waves=settings.waves,
        airports=load_airports(),
        memory=settings.memory,
    )
