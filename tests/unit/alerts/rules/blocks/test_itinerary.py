from dataclasses import replace

import pytest

from alerts.excursions.trace import EMPTY, Trace
from alerts.model import Window
from alerts.rules.blocks.itinerary import (
    AT_ORIGIN,
    FreightPractice,
    RouteProgress,
    Sampling,
    advance,
    forecast,
    sampled_positions,
    stops,
)
from alerts.rules.facts import Facts
from tests.unit.alerts.rules.routes import (
    CLINIC,
    FRA,
    HOUR,
    JFK,
    MINUTE,
    NEW_YORK,
    ZRH,
    at,
    facts,
    seen,
    trace,
)

SAMPLING = Sampling(every=5 * MINUTE, accuracy_m=1000)
CUSTOM = FreightPractice(cut_off=2 * HOUR, service_every=24 * HOUR)


def come(so_far: Facts, positions_: Trace) -> RouteProgress:
    progress = AT_ORIGIN
    for position in sampled_positions(SAMPLING, None, positions_):
        progress = advance(so_far, progress, position)
    return progress


def test_the_stops_of_a_way() -> None:
    assert stops(facts()) == (CLINIC, ZRH, FRA, JFK, NEW_YORK)
    assert stops(facts(legs=())) == (CLINIC, NEW_YORK)
    assert stops(facts(legs=(), origin=None, destination=None)) == ()


def test_stops_are_reached_and_left() -> None:
    progress = come(facts(), seen(("01 05:50", CLINIC), ("01 06:30", 47.40, 8.55)))
    assert (progress.stop, progress.left_at) == (0, at("01 06:30"))
    progress = come(facts(), seen(("01 05:50", CLINIC), ("01 06:55", ZRH), ("01 07:30", ZRH)))
    assert (progress.stop, progress.reached_at, progress.at_stop) == (1, at("01 06:55"), at("01 07:30"))


def test_a_stop_may_be_passed_unseen() -> None:
    progress = come(facts(), seen(("01 05:50", CLINIC), ("01 11:10", FRA)))
    assert (progress.stop, progress.reached_at) == (2, at("01 11:10"))


def test_a_position_that_nobody_could_have_come_to_is_believed_only_when_another_says_the_same() -> None:
    there = seen(("01 09:00", ZRH), ("01 09:10", JFK), ("01 09:20", ZRH))
    assert come(facts(), there).stop == 1
    there = seen(("01 09:00", ZRH), ("01 09:10", JFK), ("01 09:20", JFK))
    assert come(facts(), there).stop == 3


def test_positions_are_looked_at_once_in_a_while_and_only_good_ones() -> None:
    minutely = trace((at("01 06:00") + minute * MINUTE, 47.0, 8.0) for minute in range(60))
    assert [p.at for p in sampled_positions(SAMPLING, None, minutely)] == [
        at("01 06:00") + minute * MINUTE for minute in range(0, 60, 5)
    ]
    assert not list(sampled_positions(SAMPLING, at("01 06:58"), minutely))
    assert not list(sampled_positions(SAMPLING, None, trace([(at("01 06:00"), 47.0, 8.0)], accuracy_m=5000)))
    assert not list(sampled_positions(SAMPLING, None, EMPTY))


@pytest.mark.parametrize(
    ("says", "where", "now", "arrival", "missed"),
    [
        ("nothing is known yet: as planned", (), "01 06:10", "02 14:00", None),
        ("on its way, as planned", (("01 06:02", CLINIC), ("01 06:55", ZRH)), "01 08:00", "02 14:00", None),
        # 45 minutes late at the first airport: the slack takes it, the cut-off at eight holds
        ("late within the slack", (("01 07:45", ZRH),), "01 07:50", "02 14:00", None),
        # at the airport after the cut-off: the same flights of the next day, and the van leaves when it can
        ("after the cut-off", (("01 08:30", ZRH),), "01 08:30", "03 00:30", "ZRH"),
        # still there three quarters of an hour after the departure: aircraft leave late, the slack takes it
        ("a late aircraft", (("01 07:00", ZRH), ("01 10:45", ZRH)), "01 10:50", "02 14:00", None),
        # still there hours after the departure: it was left behind
        ("left behind", (("01 07:00", ZRH), ("01 13:00", ZRH)), "01 13:00", "03 00:30", "ZRH"),
        # the feeder lands after the cut-off of the long flight
        ("a missed connection", (("01 12:30", FRA),), "01 12:30", "03 00:30", "FRA"),
        # on the road no cut-off holds: an hour late at the last airport moves nothing, the van waits until noon
        ("the last airport", (("02 11:30", JFK),), "02 11:30", "02 14:00", None),
        ("the van left late", (("02 12:00", JFK), ("02 13:30", 40.70, -73.87)), "02 13:30", "02 15:30", None),
        ("at its destination", (("02 13:20", NEW_YORK),), "02 13:30", "02 13:30", None),
        ("overdue", (("02 12:00", JFK),), "02 18:00", "02 18:00", None),
    ],
)  # fmt: skip
def test_forecasts(says: str, where: tuple, now: str, arrival: str, missed: str | None) -> None:
    expected = forecast(facts(), come(facts(), seen(*where)) if where else AT_ORIGIN, CUSTOM, at(now))
    assert expected is not None, says
    assert expected.arrival == at(arrival), says
    assert (expected.missed.start.name if expected.missed else None) == missed, says


def test_a_plan_that_gives_a_van_all_day_takes_its_waiting() -> None:
    # Planned from noon to ten at night for twenty kilometres: who leaves at three is there in time.
    long = facts(
        legs=(*facts().legs[:3], replace(facts().legs[3], planned_arrival=at("02 22:00"))),
        planned_arrival=at("02 22:00"),
    )
    expected = forecast(long, come(long, seen(("02 11:00", JFK), ("02 15:00", JFK))), CUSTOM, at("02 15:00"))
    assert expected is not None
    assert expected.delay == 0


def test_a_connection_that_is_planned_tightly_is_not_missed_by_its_plan() -> None:
    legs = facts().legs
    tight = facts(legs=(legs[0], legs[1], replace(legs[2], planned_departure=at("01 12:00")), legs[3]))
    expected = forecast(tight, come(tight, seen(("01 11:10", FRA))), CUSTOM, at("01 11:10"))
    assert expected is not None
    assert expected.missed is None
    expected = forecast(tight, come(tight, seen(("01 11:40", FRA))), CUSTOM, at("01 11:40"))
    assert expected is not None
    assert expected.missed == tight.legs[2]


def test_a_late_departure_moves_on_to_the_arrival() -> None:
    # No legs: all that is known of the way is when it was to leave and to arrive.
    left = facts(legs=(), window=Window(departed_at=at("01 09:00")))
    expected = forecast(left, AT_ORIGIN, CUSTOM, at("01 09:30"))
    assert expected is not None
    assert expected.delay == 3 * HOUR


def test_without_a_plan_there_is_no_forecast() -> None:
    assert forecast(facts(legs=(), planned_arrival=None), AT_ORIGIN, CUSTOM, at("01 09:30")) is None
    some = (replace(facts().legs[0], planned_arrival=None),)
    expected = forecast(facts(legs=some), AT_ORIGIN, CUSTOM, at("01 09:30"))
    assert expected is not None
    assert expected.arrival == at("02 14:00")


def test_a_way_back_does_not_arrive_before_it_has_left() -> None:
    back = facts(
        legs=(
            facts().legs[0],
            replace(facts().legs[0], start=ZRH, end=CLINIC, planned_departure=at("01 08:00")),
        ),
    )
    assert come(back, seen(("01 05:50", CLINIC))).stop == 0
    assert come(back, seen(("01 05:50", CLINIC), ("01 07:00", ZRH), ("01 09:00", CLINIC))).stop == 2
