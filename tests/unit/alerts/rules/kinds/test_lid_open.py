"""A lid that is open for too long, and those who may open it."""

import pytest

from alerts.excursions.trace import Channel
from alerts.model import Severity
from alerts.rules.facts import Charge, Dewar
from alerts.rules.kinds.lid_open import LID_OPEN
from tests.unit.alerts.rules.readings import HOUR, MINUTE, NAN, START, facts, found, look, trace


def lid(*is_open: float, start: int = START):
    return trace({Channel.LID_OPEN: is_open}, start=start)


@pytest.mark.parametrize(
    "is_open",
    [
        [0] * 20,
        [NAN] * 20,
        [0, 1, 1, 1, 1, 0],  # somebody looked inside
        [1, 0] * 10,
    ],
)
def test_what_is_no_open_lid(is_open):
    assert look(LID_OPEN, lid(*is_open)).found is None


def test_the_clock_raises_it_and_makes_it_critical():
    before = look(LID_OPEN, lid(0, 1), later=5 * MINUTE - 1)
    assert (before.found, before.again_at) == (None, START + 6 * MINUTE)
    raised = look(LID_OPEN, lid(0, 1), later=5 * MINUTE)
    assert raised.found is not None
    assert (raised.found.severity, raised.found.since, raised.again_at) == (
        Severity.MAJOR,
        START + MINUTE,
        START + 16 * MINUTE,
    )
    worse = look(LID_OPEN, lid(0, 1), later=15 * MINUTE)
    assert worse.found is not None
    assert (worse.found.severity, worse.again_at) == (Severity.CRITICAL, None)


def test_only_a_shut_lid_ends_it():
    assert found(LID_OPEN, lid(*[1] * 7, NAN), later=24 * HOUR).until is None
    shut = found(LID_OPEN, lid(*[1] * 7, 0, 0), later=24 * HOUR)
    assert (shut.until, shut.severity) == (START + 7 * MINUTE, Severity.MAJOR)


def test_one_that_is_filled_may_be_open():
    charged = Dewar(dewar_id="W1", charges=(Charge(at=START + 20 * MINUTE),))
    assert look(LID_OPEN, lid(*[1] * 30), facts(dewar=charged)).found is None
    long_ago = Dewar(dewar_id="W1", charges=(Charge(at=START - 20 * HOUR),))
    assert look(LID_OPEN, lid(*[1] * 30), facts(dewar=long_ago)).found is not None


def test_packing_before_departure_alarms_nobody():
    assert look(LID_OPEN, lid(*[1] * 30, start=START - 30 * MINUTE)).found is None


def test_a_shipment_that_is_over_ends_it():
    over = START + 10 * MINUTE
    ended = look(LID_OPEN, lid(*[1] * 20), facts(delivered_at=over), shipment_ended_at=over)
    assert ended.found is not None
    assert (ended.found.until, ended.again_at) == (over, None)
