"""What hits the service while readings flow in costs nothing: not one reading, not one excursion."""

import os
import signal

import pytest

from tests.acceptance.command import embedded_urls, eventually, processes_of
from tests.chaos.loggers import Loggers
from tests.chaos.voyage import Size, Voyage, memory_mib

SHORT = Size(journeys=6, readings=700, messages_per_s=200, blows=2, padding=60_000)
LONG = Size(journeys=20, readings=2500, messages_per_s=300, blows=6, padding=20_000)
SIZES = [
    pytest.param(SHORT, id="4200"),
    pytest.param(LONG, id="50000", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
]
PATIENCE_S = 60.0


@pytest.mark.parametrize("size", SIZES)
def test_kill_9_of_the_service(sail, broker, size):
    voyage = sail(size)
    with Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=True) as loggers:
        loggers.start()
        for share in size.shares():
            eventually(lambda share=share: loggers.share_sent > share, PATIENCE_S, "readings flow in")
            voyage.service.killed()
            voyage.start_again()
        assert loggers.all_sent.wait(PATIENCE_S)
        voyage.arrives(PATIENCE_S)
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blow", ["kill", "restart"])
def test_the_database_goes_and_comes_back(sail, broker, postgres, size, blow):
    voyage = sail(size)
    with Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=True) as loggers:
        loggers.start()
        for share in size.shares():
            eventually(lambda share=share: loggers.share_sent > share, PATIENCE_S, "readings flow in")
            if blow == "kill":
                postgres.kill()
                postgres.start()
            else:
                postgres.restart()
        assert loggers.all_sent.wait(PATIENCE_S)
        voyage.arrives(PATIENCE_S)
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blow", ["kill", "restart"])
def test_the_broker_goes_and_comes_back(sail, broker, size, blow):
    """A broker may forget what it has confirmed; the loggers' memory makes up for it."""
    voyage = sail(size)
    with Loggers(broker.url, voyage.messages, per_s=size.messages_per_s, patient=False) as loggers:
        loggers.start()
        for share in size.shares():
            eventually(lambda share=share: loggers.share_sent > share, PATIENCE_S, "readings flow in")
            if blow == "kill":
                broker.kill()
                broker.start()
            else:
                broker.restart()
        voyage.arrives(PATIENCE_S)
        eventually(lambda: not loggers.unconfirmed(), PATIENCE_S, "every reading is confirmed to its logger")
    assert voyage.service.stopped() == 0


@pytest.mark.parametrize("size", SIZES)
def test_the_database_is_away_for_a_while(sail, broker, postgres, size):
    """The service must neither lose what comes meanwhile nor pile it up."""
    voyage = sail(size)
    before = memory_mib(voyage.service.pid, "VmRSS")
    postgres.stop()
    padded = [each._replace(payload=each.payload + b" " * size.padding) for each in voyage.messages]
    with Loggers(broker.url, padded, per_s=10 * size.messages_per_s, patient=True) as loggers:
        loggers.start()
        assert loggers.all_sent.wait(PATIENCE_S)
        loggers.until(lambda: loggers.answered > len(padded), PATIENCE_S)
        assert not voyage.service.is_ready()
        postgres.start()
        voyage.arrives(PATIENCE_S)
        voyage.service.ready()
    assert voyage.peak_mib() < before + 50
    assert voyage.service.stopped() == 0


def test_the_service_stops_when_told_while_the_database_is_away(sail, broker, postgres):
    voyage = sail(SHORT)
    with Loggers(broker.url, voyage.messages, per_s=1000, patient=True) as loggers:
        loggers.start()
        postgres.stop()
        assert loggers.all_sent.wait(PATIENCE_S)
        assert voyage.service.stopped(within_s=15) == 0
        postgres.start()
        voyage.start_again()
        voyage.arrives(PATIENCE_S)


@pytest.mark.parametrize("size", SIZES)
def test_a_power_cut_takes_everything_down(commands, folder, size):
    """Service, database and broker at once; what is left are the data folder and the loggers' memories."""
    data = folder / "data"
    voyage = Voyage(lambda: commands.start("serve", "--embedded", data), lambda: embedded_urls(data)[0], size)
    _, broker_url = embedded_urls(data)
    with Loggers(broker_url, voyage.messages, per_s=size.messages_per_s, patient=False) as loggers:
        loggers.start()
        for share in size.shares():
            eventually(lambda share=share: loggers.share_sent > share, PATIENCE_S, "readings flow in")
            voyage.service.killed()
            for pid in processes_of(folder):
                os.kill(pid, signal.SIGKILL)
            voyage.start_again()
        voyage.arrives(PATIENCE_S)
        eventually(lambda: not loggers.unconfirmed(), PATIENCE_S, "every reading is confirmed to its logger")
    assert voyage.service.stopped() == 0
