"""Shocks, one or several, which the clock ends."""

import pytest

from alerts.excursions.trace import Channel
from alerts.model import Severity
from alerts.rules.kinds.shock import SHOCK
from tests.unit.alerts.rules.readings import HOUR, MINUTE, NAN, START, facts, found, look, trace


def blows(*g: float, every: int = MINUTE):
    return trace({Channel.SHOCK_G: g}, every=every)


@pytest.mark.parametrize("g", [[0.1, 7.9], [NAN, NAN]])
def test_what_is_no_shock(g):
    assert look(SHOCK, blows(*g)).found is None


@pytest.mark.parametrize(
    ("g", "severity"), [(8, Severity.MAJOR), (24.9, Severity.MAJOR), (25, Severity.CRITICAL)]
)
def test_a_blow_is_told_at_once_and_as_badly_as_it_was(g, severity):
    what = look(SHOCK, blows(0.2, g))
    assert what.found is not None
    assert (what.found.severity, what.found.since, what.found.until) == (severity, START + MINUTE, None)
    assert what.again_at == START + MINUTE + HOUR


def test_the_clock_ends_it():
    assert found(SHOCK, blows(9), later=HOUR - 1).until is None
    ended = look(SHOCK, blows(9), later=HOUR)
    assert ended.found is not None
    assert (ended.found.until, ended.again_at) == (START + HOUR, None)


def test_blows_within_the_quiet_time_are_one():
    what = found(SHOCK, blows(9, 30, 10, every=50 * MINUTE))
    assert (what.since, what.severity, what.details) == (START, Severity.CRITICAL, {"peak_g": 30.0})
    assert what.message.startswith("Repeated shocks of up to 30 g")


def test_a_blow_after_it_is_another():
    assert found(SHOCK, blows(30, 9, every=HOUR)).severity is Severity.MAJOR


def test_a_shipment_that_is_over_ends_it():
    over = START + 10 * MINUTE
    ended = look(SHOCK, blows(9), facts(delivered_at=over), later=10 * MINUTE, shipment_ended_at=over)
    assert ended.found is not None
    assert (ended.found.until, ended.again_at) == (over, None)
