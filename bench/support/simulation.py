"""`python -m bench.support.simulation [--fleet 100000]`: measures a simulated fleet against a real broker.

The broker is an embedded mosquitto; a process confirms each message as the service would. Measured are when
the first readings are published, how many are made and published per second, and the memory that takes.
"""

import argparse
import asyncio
import multiprocessing
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from api.embedded import embedded_servers
from bench.support.report import BenchError, Measure, Result, progress
from simulators.fleet.fleet import Fleet
from simulators.fleet.run import SimulationSummary, run
from simulators.fleet.settings import SimulationSettings
from simulators.instants import milliseconds
from simulators.journeys.journey import TOGETHER, Journey, solve_together
from simulators.journeys.payloads import payload
from simulators.journeys.surroundings import surroundings
from simulators.scenarios.load import load_scenario
from simulators.world.airports import load_airports
from simulators.world.clock import JourneyClock

SCENARIO = "everyday"
STEPPED, MADE = 8 * TOGETHER, 1000
"""Shipments stepped, and loggers whose blocks of readings are made, for the figures of one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The progress of a run: seconds since it began, elapsed and of processor time, and what it had done."""

    wall_s: float
    busy_s: float
    so_far: SimulationSummary


def main() -> None:
    """Run both measurements and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.support.simulation", description=__doc__)
    parser.add_argument("--fleet", type=int, default=100_000)
    parser.add_argument("--speed", type=float, default=40.0)
    parser.add_argument(
        "--interval", type=float, default=600.0, help="seconds of journey between two readings"
    )
    parser.add_argument("--seconds", type=float, default=45.0, help="for how long it runs once all are on")
    given = parser.parse_args()
    # The fleet first: the other's memory would be counted as its own.
    print("\n".join(fleet(given).lines()), flush=True)
    print("\n".join(steps().lines()), flush=True)


def steps() -> Result:
    """Measure only the physics and the making of live readings, in processor time."""
    began = time.process_time()
    journeys = _journeys(STEPPED)
    drawn_s = time.process_time() - began
    segments = sum(_segments(journey) for journey in journeys[:500]) / 500
    began = time.process_time()
    solve_together(journeys)
    solved_s = time.process_time() - began
    began = time.process_time()
    ticks = np.arange(64).tolist()
    for journey in journeys[:MADE]:
        for tick in ticks:
            payload(journey, [tick])
    made_s = time.process_time() - began
    return Result(
        title="Simulator, one core",
        measures=[
            Measure(what="journeys drawn", unit="/s", runs=[STEPPED / drawn_s]),
            Measure(
                what="loggers stepped, with their surroundings",
                unit="/s",
                runs=[segments * STEPPED / solved_s],
            ),
            Measure(what="live readings made, one by one", unit="/s", runs=[MADE * len(ticks) / made_s]),
        ],
    )


def fleet(given: argparse.Namespace) -> Result:
    """Measure a fleet against a broker, from the start until all loggers are on and for some time after."""
    folder = Path(tempfile.mkdtemp(prefix="dewarwatch-bench-"))
    folder.chmod(0o711)  # root's servers run as another user
    try:
        with embedded_servers(folder / "data", progress) as servers:
            return _result(given, _moments(servers.mqtt_url, given))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _moments(url: str, given: argparse.Namespace) -> list[Moment]:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    confirming = context.Process(target=_confirm, args=(url, ready), daemon=True)
    confirming.start()
    if not ready.wait(30):
        raise BenchError("what confirms could not connect to the broker")
    try:
        return asyncio.run(_simulate(url, given))
    finally:
        confirming.terminate()
        confirming.join()


async def _simulate(url: str, given: argparse.Namespace) -> list[Moment]:
    moments: list[Moment] = []
    began, stop = (time.monotonic(), time.process_time()), asyncio.Event()
    until_s = float("inf")

    def note(summary: SimulationSummary) -> None:
        nonlocal until_s
        moment = Moment(
            wall_s=time.monotonic() - began[0], busy_s=time.process_time() - began[1], so_far=summary
        )
        if not moments or moment.wall_s - moments[-1].wall_s > 10 or not moments[-1].so_far.readings_sent:
            moments.append(moment)
            progress(f"{moment.wall_s:.0f} s: {summary.switched_on} on, {summary.readings_sent} sent")
        if until_s == float("inf") and summary.switched_on == given.fleet:
            until_s = moment.wall_s + given.seconds
            moments.append(moment)
        if moment.wall_s > until_s:
            moments.append(moment)
            stop.set()

    settings = SimulationSettings(
        mqtt_url=url,
        start=datetime.now(UTC),
        scenario=SCENARIO,
        fleet=given.fleet,
        speed=given.speed,
        interval_s=given.interval,
    )
    await run(settings, on_progress=note, stop=stop)
    return moments


def _result(given: argparse.Namespace, moments: list[Moment]) -> Result:
    first = next(moment for moment in moments if moment.so_far.readings_sent)
    all_on = next(moment for moment in moments if moment.so_far.switched_on == given.fleet)
    last = moments[-1]
    wall_s, busy_s = last.wall_s - all_on.wall_s, last.busy_s - all_on.busy_s
    sent = last.so_far.readings_sent - all_on.so_far.readings_sent
    return Result(
        title=f"Simulator: {given.fleet:,} loggers at {given.speed:g} times real time against mosquitto",
        measures=[
            Measure(what="first readings published after", unit="s", runs=[first.wall_s]),
            Measure(what="all loggers on after", unit="s", runs=[all_on.wall_s]),
            Measure(what="readings due", unit="/s", runs=[given.fleet * given.speed / given.interval]),
            Measure(what="readings published, one a message", unit="/s", runs=[sent / wall_s]),
            Measure(what="of one core", unit="%", runs=[100 * busy_s / wall_s]),
            Measure(what="readings published a second of one core", unit="/s", runs=[sent / busy_s]),
            Measure(what="readings under way at the end", unit="", runs=[last.so_far.readings_unconfirmed]),
            Measure(
                what="most memory",
                unit="MB",
                runs=[resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024],
            ),
        ],
    )


def _journeys(count: int) -> list[Journey]:
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    drawn = Fleet(
        scenario=load_scenario(SCENARIO),
        size=count,
        seed=1,
        clock=JourneyClock(milliseconds(start), 1.0),
        interval_s=60.0,
        waves=False,
        airports=load_airports(),
    )
    return [next(drawn.journeys(index)) for index in range(count)]


def _segments(journey: Journey) -> int:
    return len(
        surroundings(journey.legs, journey.events, journey.on_s, journey.off_s, journey.weather).begins_s
    )


def _confirm(url: str, ready: Event) -> None:
    """Confirm every message as the service does once it has stored it, until the process is ended."""
    parts = urlsplit(url)
    client = Client(CallbackAPIVersion.VERSION2, "confirms")
    client.username_pw_set(unquote(parts.username or ""), unquote(parts.password or ""))
    client.on_connect = lambda *_: client.subscribe("dewar/v1/+/readings", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = _answer
    client.max_queued_messages_set(0)
    client.connect(parts.hostname or "localhost", parts.port or 1883)
    client.loop_forever()


def _answer(client: Client, _: object, message: MQTTMessage) -> None:
    said = orjson.loads(message.payload)
    last = said[-1] if isinstance(said, list) else said
    answer = orjson.dumps({"boot": last["boot"], "through": last["seq"], "missing": []})
    client.publish(f"dewar/v1/{message.topic.split('/')[2]}/ack", answer, qos=0)


if __name__ == "__main__":
    main()
