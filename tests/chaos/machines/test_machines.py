"""Machines fail under load: nothing confirmed is lost, nothing is invented or told twice, danger is told, and it heals."""

import contextlib
from functools import partial

import pytest

from tests.chaos.machines import faults
from tests.chaos.machines.checker import check
from tests.chaos.machines.operations import Outcome
from tests.chaos.machines.world import ROLES, Fault
from tests.chaos.voyage import Size

SHORT = Size(journeys=3, readings=700, messages_per_s=25, blows=0, patience_s=50)
LONG = Size(journeys=20, readings=2500, messages_per_s=100, blows=0, patience_s=250)
SIZES = [
    pytest.param(SHORT, 2.0, id="2100"),
    pytest.param(LONG, 20.0, id="50000", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
]


@pytest.mark.parametrize(("size", "hold_s"), SIZES)
def test_nothing_is_left(build, size, hold_s):
    """No space on the disk, no connections, no time for the schema to stand still."""
    world = build(disk=True)
    world.sail(
        size,
        [
            Fault(name="full-disk", strike=faults.full_disk, hold_s=hold_s),
            Fault(name="no-connections", strike=faults.no_connections, hold_s=hold_s),
            Fault(name="alter-table", strike=faults.alter_table, hold_s=hold_s / 4),
        ],
    )


@pytest.mark.parametrize(("size", "hold_s"), SIZES)
def test_processes_freeze(build, size, hold_s):
    """Each role, the database's postmaster and its backends, the broker, and all connections at once."""
    world = build(apart=True)
    frozen = {name: faults.role(name) for name in ROLES}
    frozen |= {"postmaster": faults.postmaster, "backends": faults.all_backends, "broker": faults.broker}
    frozen |= {"stalled": faults.stalled, "sessions": faults.broker_forgets_sessions}
    world.sail(size, [Fault(name=name, strike=strike, hold_s=hold_s / 2) for name, strike in frozen.items()])


@pytest.mark.parametrize(("size", "hold_s"), SIZES)
def test_clocks_jump(build, size, hold_s):
    """Those of the service and of the database, for a while; what a wrong clock says costs nothing and delays nothing."""
    world = build(clocks=True)
    jumps = {
        f"{whose}-{'ahead' if ahead_s > 0 else 'behind'}-{abs(ahead_s)}": partial(strike, ahead_s=ahead_s)
        for whose, strike in (("database", faults.database_clock), ("service", faults.service_clock))
        for ahead_s in ((3600, -3600) if size is SHORT else (300, -300, 3600, -3600))
    }
    world.sail(size, [Fault(name=name, strike=jump, hold_s=hold_s / 2 + 1) for name, jump in jumps.items()])


@pytest.mark.parametrize(("size", "hold_s"), SIZES)
def test_an_older_copy_is_put_back(build, size, hold_s):
    world = build()
    world.sail(size, [Fault(name="older-copy", strike=faults.older_copy, hold_s=hold_s)])
    assert "record.restored" in {type_ for _, type_ in world.listener.heard}


@pytest.mark.long  # what is dead is found by time-outs
@pytest.mark.timeout(300)
def test_connections_are_half_open(build):
    build().sail(SHORT, [Fault(name="half-open", strike=faults.half_open, hold_s=1)])


@pytest.mark.long  # it takes half a minute until somebody looks
@pytest.mark.timeout(300)
def test_a_broker_forgets_its_accounts(build):
    """The one fault that needs hands: `/readyz`, the metric and a mail say which command heals it."""
    build().sail(SHORT, [Fault(name="accounts", strike=faults.broker_forgets_accounts)])


@contextlib.contextmanager
def nothing(world):
    yield


def lose_a_mail(world):
    world.ears.mails.taken.clear()


def lose_an_event(world):
    world.ears.hook.got[:] = [got for got in world.ears.hook.got if got.id != world.ears.hook.got[-1].id]


def answer_and_forget(world):
    world.log.invoke("call", "clerk-0")
    world.log.end("call", "clerk-0", Outcome.OK)


def lose_a_reading(world):
    world.voyage.fetch("DELETE FROM readings WHERE device_id = 'pilot-nothing' AND seq = 0 RETURNING 1")


@pytest.mark.long
def test_the_checker_finds_what_is_lost_and_what_is_invented(build):
    """Each is found before the ones above it, so that all can be tried on one voyage."""
    ways = {
        lose_a_mail: "said to be sent, and was not",
        lose_an_event: "webhook lacks",
        answer_and_forget: "answered and lost",
        lose_a_reading: "confirmed and lost",
    }

    def judge(world, patience_s):
        check(world, patience_s)
        for spoil, complaint in ways.items():
            spoil(world)
            with pytest.raises(AssertionError, match=complaint):
                check(world, 1)

    build().sail(SHORT, [Fault(name="nothing", strike=nothing)], judge)
