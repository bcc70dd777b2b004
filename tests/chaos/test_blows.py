"""What hits the service while readings flow in costs nothing: not one reading, not one excursion."""

import contextlib
import math
import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from api.embedded.process import Supervisor
from tests.acceptance.command import embedded_urls, eventually, processes_of
from tests.chaos.listener import Listener
from tests.chaos.loggers import Loggers
from tests.chaos.voyage import Size, Voyage


def kill(server: Supervisor) -> None:
    server.kill()
    server.start()


SHORT = Size(journeys=6, readings=700, messages_per_s=80, blows=2, patience_s=50)
LONG = Size(journeys=20, readings=2500, messages_per_s=300, blows=6, patience_s=250)
SIZES = [
    pytest.param(SHORT, id="4200"),
    pytest.param(LONG, id="50000", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
]
BLOWS = {"killed": kill, "restarted": Supervisor.restart}
PILE_MIB = 160
"""So much is sent while the database is away; the service itself keeps at most 48 MiB of it."""


def strike(voyage: Voyage, loggers: Loggers, blow: Callable[[], None]) -> None:
    """Starts the loggers, and strikes while their readings flow in."""
    loggers.start()
    for share in voyage.size.shares():
        eventually(lambda share=share: loggers.share_sent > share, voyage.size.patience_s, "readings flow in")
        voyage.note(f"struck when {loggers.readings_sent} were sent and {voyage.stored()} stored")
        blow()


@pytest.fixture
def worker(commands, broker, postgres):
    """Starts a process that ingests and evaluates, and nothing else."""
    settings = {"DATABASE_URL": postgres.url, "MQTT_URL": broker.url}
    return lambda: commands.start("serve", "--roles", "ingest,evaluate", **settings).ready()


@pytest.mark.parametrize("size", SIZES)
def test_kill_9_of_the_service(sail, broker, size):
    """And who follows the stream with Last-Event-ID misses nothing, and hears nothing twice."""
    voyage = sail(size)
    with (
        Listener(voyage.service.url) as listener,
        Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=True) as loggers,
    ):
        strike(voyage, loggers, voyage.kill_and_start_again)
        assert loggers.all_sent.wait(size.patience_s)
        voyage.arrives(size.patience_s)
        told = voyage.told()
        eventually(lambda: len(listener.told) >= len(told), size.patience_s, "all is told")
        assert listener.told == told
        assert listener.connections > size.blows
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
def test_kill_9_of_one_of_several(sail, broker, worker, size):
    """Who is left goes on, and who comes back takes up what the killed one had not acknowledged."""
    voyage = sail(size, roles="api")
    workers = [worker() for _ in range(3)]

    def kill_the_oldest() -> None:
        workers.pop(0).killed()
        workers.append(worker())

    with Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=True) as loggers:
        strike(voyage, loggers, kill_the_oldest)
        assert loggers.all_sent.wait(size.patience_s)
        voyage.arrives(size.patience_s)
    assert [worker.stopped() for worker in workers] == [0, 0, 0]


@pytest.mark.long  # it takes the other one a minute to look for what nobody fetches
@pytest.mark.timeout(300)
def test_one_of_several_never_comes_back(sail, broker, worker):
    voyage = sail(SHORT, roles="api")
    stays, goes = worker(), worker()
    with Loggers(broker.url, voyage.messages, per_s=SHORT.messages_per_s, patient=True) as loggers:
        strike(voyage, loggers, goes.killed)
        assert loggers.all_sent.wait(SHORT.patience_s)
        voyage.arrives(120)
    assert stays.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blow", ["killed", "restarted"])
def test_the_database_goes_and_comes_back(sail, broker, postgres, size, blow):
    voyage = sail(size)
    with Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=True) as loggers:
        strike(voyage, loggers, partial(BLOWS[blow], postgres))
        assert loggers.all_sent.wait(size.patience_s)
        voyage.arrives(size.patience_s)
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blow", ["killed", "restarted"])
def test_the_broker_goes_and_comes_back(sail, broker, size, blow):
    """A broker may forget what it has confirmed; the loggers' memory makes up for it."""
    voyage = sail(size)
    with Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=False) as loggers:
        strike(voyage, loggers, partial(BLOWS[blow], broker))
        voyage.arrives(size.patience_s)
        eventually(
            lambda: not loggers.unconfirmed(), size.patience_s, "every reading is confirmed to its logger"
        )
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
def test_a_power_cut_takes_everything_down(commands, folder, size):
    """Service, database and broker at once; what is left are the data folder and the loggers' memories."""
    data = folder / "data"
    voyage = Voyage(lambda: commands.start("serve", "--embedded", data), lambda: embedded_urls(data)[0], size)
    _, broker_url = embedded_urls(data)

    def power_cut() -> None:
        for pid in processes_of(folder):
            with contextlib.suppress(ProcessLookupError):  # it went down with the one before
                os.kill(pid, signal.SIGKILL)
        voyage.kill_and_start_again()

    with Loggers(broker_url, voyage.messages, per_s=size.messages_per_s, patient=False) as loggers:
        strike(voyage, loggers, power_cut)
        voyage.arrives(size.patience_s)
        eventually(
            lambda: not loggers.unconfirmed(), size.patience_s, "every reading is confirmed to its logger"
        )
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
def test_the_database_is_away_for_a_while(sail, broker, postgres, size):
    """The service must neither lose what comes meanwhile nor pile it up: that is for the broker to do."""
    voyage = sail(size)
    before_mib = voyage.memory_mib("VmRSS")
    postgres.stop()
    heavy = [each._replace(payload=each.payload + b" " * 40_000) for each in voyage.messages]
    heavy *= math.ceil(PILE_MIB * 2**20 / sum(len(each.payload) for each in heavy))
    with Loggers(broker.url, heavy, per_s=2000, patient=True) as loggers:
        loggers.start()
        assert loggers.all_sent.wait(size.patience_s)
        loggers.until(lambda: loggers.answered > len(heavy), size.patience_s)
        assert not voyage.service.is_ready()
        away_mib = voyage.memory_mib("VmHWM")
        postgres.start()
        voyage.arrives(size.patience_s)
        voyage.service.ready()
    voyage.note(
        f"{before_mib:.0f} MiB before, {away_mib:.0f} without database, {voyage.memory_mib('VmHWM'):.0f} at most"
    )
    assert away_mib < before_mib + PILE_MIB / 2
    assert voyage.memory_mib("VmHWM") < before_mib + PILE_MIB
    assert voyage.service.stopped() == 0


def test_the_service_stops_when_told_while_the_database_is_away(sail, broker, postgres):
    voyage = sail(SHORT)
    with Loggers(broker.url, voyage.messages, per_s=1000, patient=True) as loggers:
        loggers.start()
        postgres.stop()
        assert loggers.all_sent.wait(SHORT.patience_s)
        assert voyage.service.stopped(within_s=15) == 0
        postgres.start()
        voyage.kill_and_start_again()
        voyage.arrives(SHORT.patience_s)
