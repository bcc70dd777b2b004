import pytest

from alerts.excursions.trace import Trace
from alerts.model import Severity, Window
from alerts.rules.blocks.arrival_rule import ArrivalState
from alerts.rules.kinds.late import LATE, LateTuning
from alerts.rules.rule import Look
from tests.unit.alerts.rules.routes import CLINIC, FRA, HOUR, JFK, NEW_YORK, ZRH, at, facts, look_time, seen

TUNING = LateTuning()


def look(now: str, *wheres: Trace, **changes: object) -> Look:
    so_far = facts(**changes)
    states = [LATE.fold(TUNING, so_far, ArrivalState(), where) for where in wheres]
    return LATE.look(TUNING, so_far, states or [ArrivalState()], look_time(now))


def test_nothing_is_told_of_a_shipment_in_time_and_it_is_looked_at_again_when_it_is_due() -> None:
    assert look("01 09:00", seen(("01 06:50", ZRH))) == Look(again_at=at("02 14:00") + 1)


def test_a_missed_connection_is_told_before_the_aircraft_leaves() -> None:
    found = look("01 12:40", seen(("01 06:50", ZRH), ("01 12:30", FRA))).found
    assert found is not None
    assert (found.since, found.until, found.severity) == (at("01 12:30"), None, Severity.MAJOR)
    assert found.message == (
        "Will arrive about 2026-12-03 00:30 UTC, 10 h 30 min late: it misses the connection from FRA to JFK. "
        "Rebook it, and tell the destination"
    )
    assert found.details["missed_connection"] == "FRA to JFK"


def test_it_ends_when_it_catches_up() -> None:
    # It was taken along after all.
    found = look("01 23:30", seen(("01 12:30", FRA), ("01 22:40", JFK))).found
    assert found is not None
    assert (found.since, found.until) == (at("01 12:30"), at("01 22:40"))


def test_overdue_is_found_by_the_clock_at_the_instant_at_which_it_is() -> None:
    there = seen(("01 06:50", ZRH), ("02 12:10", JFK))
    assert look("02 15:50", there).found is None
    found = look("02 19:00", there).found
    assert found is not None
    # Two hours are tolerated; looked at in steps of a quarter of an hour, whenever somebody looks.
    assert at("02 16:00") <= found.since <= at("02 16:15")
    assert look("03 09:00", there).found == found
    assert "is not delivered" in found.message


def test_who_left_late_arrives_late_though_nobody_sees_it() -> None:
    found = look("01 10:00", legs=(), window=Window(departed_at=at("01 06:00") + 3 * HOUR)).found
    assert found is not None
    assert found.since == at("01 09:00")


def test_the_logger_with_the_newest_position_counts() -> None:
    found = look("02 00:00", seen(("01 12:30", FRA)), seen(("01 23:00", JFK))).found
    assert found is None


def test_without_a_planned_arrival_nobody_can_be_late() -> None:
    assert look("09 00:00", seen(("01 12:30", FRA)), legs=(), planned_arrival=None) == Look()


@pytest.mark.parametrize("tolerance_s", [1800, 40_000])
def test_the_tolerance_can_be_tuned(tolerance_s: float) -> None:
    tuning, so_far = LateTuning(tolerance_s=tolerance_s), facts()
    state = LATE.fold(tuning, so_far, ArrivalState(), seen(("01 06:50", ZRH), ("01 12:30", FRA)))
    found = LATE.look(tuning, so_far, [state], look_time("01 12:30")).found
    assert (found is not None) == (tolerance_s < 10.5 * 3600)


def test_at_the_destination_it_is_not_overdue_before_it_is_handed_over_late() -> None:
    assert look("02 14:30", seen(("01 05:50", CLINIC), ("02 13:50", NEW_YORK))).found is None
