from dataclasses import replace

from alerts.evaluation.airports_file import airport_index
from alerts.excursions.trace import Trace
from alerts.rules.facts import Leg
from alerts.rules.kinds.off_route import OFF_ROUTE, OffRouteState, OffRouteTuning
from alerts.rules.place import Place
from alerts.rules.rule import Look
from tests.unit.alerts.rules.routes import (
    CLINIC,
    FRA,
    HOUR,
    JFK,
    LEGS,
    MINUTE,
    ZRH,
    at,
    facts,
    look_time,
    seen,
    trace,
)

TUNING = OffRouteTuning()
MUNICH, CDG = (48.3538, 11.7861), (49.0097, 2.5479)


def look(now: str, where: Trace, **changes: object) -> Look:
    so_far = facts(**changes)
    return OFF_ROUTE.look(
        TUNING, so_far, [OFF_ROUTE.fold(TUNING, so_far, OffRouteState(), where)], look_time(now)
    )


def test_on_its_way() -> None:
    assert look("01 12:00", seen(("01 06:00", CLINIC), ("01 07:00", ZRH), ("01 11:10", FRA))) == Look()


def test_a_wrong_airport() -> None:
    found = look("01 15:00", seen(("01 09:00", ZRH), ("01 11:10", *MUNICH), ("01 11:50", *MUNICH))).found
    assert found is not None
    assert (found.since, found.until) == (at("01 11:10"), None)
    assert found.message == (
        "More than 100 km outside of its way CLINIC - ZRH - FRA - JFK - MSK: "
        "ask whoever holds it where it is, and where it is going"
    )


def test_a_blip_is_not_told_and_silence_is_no_stay() -> None:
    # One position, and then none for hours: nobody knows that it stayed there.
    assert look("01 20:00", seen(("01 09:00", ZRH), ("01 11:10", *MUNICH))) == Look()
    # It was seen outside for ten minutes, and after a long flight it is where it should be.
    there = seen(("01 09:00", ZRH), ("01 11:10", *MUNICH), ("01 11:20", *MUNICH), ("01 22:40", JFK))
    assert look("01 23:00", there) == Look()


def test_it_ends_where_it_is_back() -> None:
    there = seen(
        ("01 09:00", ZRH), *((f"01 11:{m}", *MUNICH) for m in range(10, 60, 10)), ("01 12:40", *FRA_POSITION)
    )
    found = look("01 23:00", there).found
    assert found is not None
    assert found.until is not None


FRA_POSITION = (50.03, 8.55)


def test_airways_over_an_ocean_are_wide() -> None:
    over = seen(("01 18:00", 55.0, -35.0), ("01 18:40", 54.0, -40.0), ("01 19:20", 53.0, -45.0))
    assert look("01 20:00", over) == Look()


def test_over_the_date_line() -> None:
    nadi = Place(name="NAN", lat=-17.7554, lon=177.4431, airport=True)
    honolulu = Place(name="HNL", lat=21.3245, lon=-157.9251, airport=True)
    legs = (Leg(start=nadi, end=honolulu),)
    over = seen(("01 08:00", -8.0, -176.0), ("01 09:00", -1.0, -172.0))
    assert look("01 10:00", over, legs=legs) == Look()
    found = look("01 10:00", seen(("01 08:00", -8.0, 160.0), ("01 09:00", -8.0, 160.0)), legs=legs).found
    assert found is not None


def test_without_positions_of_stops_nothing_is_found() -> None:
    nowhere = tuple(replace(leg, start=Place(name="here"), end=Place(name="there")) for leg in LEGS)
    assert look("01 12:00", seen(("01 11:00", *CDG), ("01 11:50", *CDG)), legs=nowhere) == Look()


def test_a_long_trace_costs_and_gives_the_same_as_one_by_one() -> None:
    positions = [(at("01 06:00") + minute * MINUTE, 47.3 + minute / 500, 8.5) for minute in range(48 * 60)]
    so_far, state = facts(), OffRouteState()
    for position in positions:
        state = OFF_ROUTE.fold(TUNING, so_far, state, trace([position]))
    assert state == OFF_ROUTE.fold(TUNING, so_far, OffRouteState(), trace(positions))
    assert state.outside.since is not None
    assert at("01 06:00") + HOUR < state.outside.since


def test_the_wrong_airport_is_named_while_it_is_there() -> None:
    table = airport_index()
    there = seen(("01 09:00", ZRH), ("01 11:10", *MUNICH), ("01 11:50", *MUNICH))
    found = look("01 15:00", there, airports=table).found
    assert found is not None
    assert found.message.startswith("Near MUC, more than 100 km outside of its way CLINIC - ZRH")
    assert found.details == {"more_than_km_outside": 100, "near_airport": "MUC"}
    back = seen(*((f"01 11:{m}", *MUNICH) for m in range(10, 60, 10)), ("01 12:40", *FRA_POSITION))
    found = look("01 23:00", back, airports=table).found
    assert found is not None
    assert "near_airport" not in found.details


def test_no_fix_is_not_off_the_coast_of_africa() -> None:
    lost = seen(
        ("01 09:00", ZRH), *((f"01 11:{m}", 0.0, 0.0) for m in range(10, 60, 10)), ("01 13:00", 0.0, 0.0)
    )
    assert look("01 15:00", lost) == Look()


def test_a_position_that_is_repeated_to_the_metre_from_the_start_may_be_of_a_journey_before() -> None:
    exact = (MUNICH[0] + 0.000012, MUNICH[1] + 0.000017)
    stale = [(f"01 11:{m}", *exact) for m in range(10, 60, 10)]
    assert look("01 15:00", seen(*stale)) == Look()
    assert look("01 20:00", seen(*stale, ("01 18:00", *FRA_POSITION))) == Look()
    # Once it has given another, it works: then it stands where it says, however often it says so.
    moved = seen(("01 09:00", ZRH), *stale)
    found = look("01 15:00", moved).found
    assert found is not None
    assert found.since == at("01 11:10")
    for where in (moved, seen(*stale, ("01 12:30", *MUNICH), ("01 13:10", *MUNICH))):
        so_far, state = facts(), OffRouteState()
        for reading in range(len(where)):
            state = OFF_ROUTE.fold(TUNING, so_far, state, where[reading : reading + 1])
        assert state == OFF_ROUTE.fold(TUNING, so_far, OffRouteState(), where)
        assert state.outside.since == at("01 11:10" if where is moved else "01 12:30")
