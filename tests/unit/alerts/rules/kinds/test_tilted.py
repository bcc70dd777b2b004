"""A dewar that lies on its side, is upside down, or only rocks."""

import pytest

from alerts.excursions.trace import Channel
from alerts.model import Severity
from alerts.rules.facts import Dewar
from alerts.rules.kinds.tilted import TILTED
from tests.unit.alerts.rules.readings import DAY, MINUTE, NAN, START, facts, found, look, trace


def tilts(*degrees: float):
    return trace({Channel.TILT_DEG: degrees})


@pytest.mark.parametrize(
    "degrees",
    [
        [3] * 60,  # it stands
        [44] * 60,  # it leans, as on a trolley
        [90] * 10 + [3],  # for less than ten minutes between the first reading and the last that show it
        ([90] * 9 + [3]) * 5,  # again and again, but never for long
        [NAN] * 60,  # nobody knows
        [90],  # one odd reading before a silence is a blip
        [150, 150, 3],  # upside down, but for one minute
    ],
)
def test_what_is_no_tilt(degrees):
    assert look(TILTED, tilts(*degrees), later=10 * MINUTE).found is None


def test_one_that_lies_is_told_once_readings_prove_its_dwell():
    what = found(TILTED, tilts(3, 3, *[91] * 11))
    assert (what.severity, what.since, what.until) == (Severity.MAJOR, START + 2 * MINUTE, None)
    assert what.details == {"peak_deg": 90}
    assert what.message.startswith(
        "Dewar tilted, 90° or more from upright: its hold time is for a dewar that stands"
    )


def test_it_goes_on_until_it_is_set_up_and_not_while_it_rocks():
    rocking = [50] * 11 + [40] * 5  # above the level at which it clears
    assert found(TILTED, tilts(*rocking)).until is None
    assert found(TILTED, tilts(*rocking, 5, 5)).until == START + 16 * MINUTE


def test_upside_down_is_critical_after_two_minutes_and_stays_so_while_it_lies():
    what = found(TILTED, tilts(3, 170, 170, 170))
    assert (what.severity, what.since) == (Severity.CRITICAL, START + MINUTE)
    assert what.message.startswith("Dewar upside down")
    still = found(TILTED, tilts(3, 170, 170, 170, 90, 90))  # turned, but it does not stand
    assert (still.severity, still.since, still.until) == (Severity.CRITICAL, START + MINUTE, None)
    assert found(TILTED, tilts(3, 170, 170, 170, 90, 0)).until == START + 4 * MINUTE


def test_the_newest_of_two_is_told():
    lies = [90] * 12
    assert found(TILTED, tilts(*lies, 0, *lies)).since == START + 13 * MINUTE


def test_a_shipment_that_is_over_ends_it():
    over = START + 30 * MINUTE
    readings = trace({Channel.TILT_DEG: [90] * 40})
    assert found(TILTED, readings, facts(delivered_at=over), shipment_ended_at=over).until == over


def test_what_lay_before_departure_alarms_nobody():
    before = trace({Channel.TILT_DEG: [90] * 60}, start=START - 65 * MINUTE)
    assert look(TILTED, before).found is None


def test_the_message_names_the_hold_time_of_the_dewar():
    about = facts(dewar=Dewar(dewar_id="W1", hold_time=10 * DAY))
    assert "its hold time of 10 d" in found(TILTED, tilts(*[90] * 12), about).message


def test_it_can_be_tuned():
    assert look(TILTED, tilts(*[40] * 12), degrees=30.0).found is not None
    assert look(TILTED, tilts(*[90] * 12), dwell_s=1800).found is None
