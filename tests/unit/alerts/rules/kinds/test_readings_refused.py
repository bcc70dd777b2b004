"""A logger that is heard, but refused: what counts, when it fires, and when it is over."""

from typing import Any

from alerts.model import Instant
from alerts.rules.facts import Facts, Refused
from alerts.rules.kinds.readings_refused import READINGS_REFUSED, ReadingsRefusedState, ReadingsRefusedTuning
from alerts.rules.rule import Finding, Look, LookTime
from tests.unit.alerts.rules.readings import HOUR, MINUTE, START, facts

NOW = START + 10 * HOUR


def refused(
    reason: str = "invalid_reading",
    first: Instant = NOW,
    last: Instant | None = None,
    readings: int = 1,
    fault: str = "",
    **more: Any,
) -> Refused:
    return Refused(reason, fault, first, first if last is None else last, readings, **more)


def about(*hours: Refused, **more: Any) -> Facts:
    return facts(refused={"D1": hours}, **more)


def look(known: Facts, through: Instant = NOW, seen: Instant | None = NOW - MINUTE) -> Look:
    look_time = LookTime(through=through, watched_from=START, device_id="D1")
    return READINGS_REFUSED.look(ReadingsRefusedTuning(), known, ReadingsRefusedState(seen), look_time)


def found(known: Facts, through: Instant = NOW, seen: Instant | None = NOW - MINUTE) -> Finding:
    what = look(known, through, seen).found
    assert what is not None
    return what


def test_a_wrong_clock_is_told_at_the_first_reading_and_named() -> None:
    one = refused("clock_behind", fault="week_rollover", sent_at=NOW - 1024 * 7 * 24 * HOUR, true_at=NOW)
    what = found(about(one))
    assert (what.since, what.until) == (NOW, None)
    assert "1024 weeks behind" in what.message
    assert what.details["clock_fault"] == "week_rollover"
    assert what.details["reasons"] == ["clock_behind"]


def test_temperatures_outside_the_limits_are_told_though_nobody_knows_when_they_were() -> None:
    warm = refused("clock_behind", fault="reset", least_c=-190.0, most_c=-120.0)
    assert "Some of them are above −150 °C" in found(about(warm)).message
    assert "Some of them" not in found(about(warm._replace(most_c=-151.0))).message


def test_anything_else_is_told_once_there_are_three() -> None:
    assert look(about(refused(readings=2))).found is None
    what = found(about(refused(first=NOW - 50 * MINUTE, readings=2, detail="battery"), refused("conflict")))
    assert what.since == NOW - 50 * MINUTE
    assert what.details == {"reasons": ["conflict", "invalid_reading"]}
    assert "battery" in what.message


def test_it_is_over_after_an_hour_in_which_readings_are_stored_again() -> None:
    known = about(refused(readings=5))
    assert look(known).again_at == NOW + HOUR
    assert found(known, NOW + HOUR - 1, NOW + 30 * MINUTE).until is None
    assert found(known, NOW + HOUR, NOW + 30 * MINUTE).until == NOW
    assert found(known, NOW + HOUR, NOW - 2 * HOUR).until is None
    assert found(known, NOW + HOUR, None).until is None


def test_refusals_that_follow_closely_are_one_episode_and_the_newest_counts() -> None:
    old = refused(first=NOW - 5 * HOUR, last=NOW - 4 * HOUR - 30 * MINUTE, readings=9)
    near = refused(first=NOW - 4 * HOUR, last=NOW - 3 * HOUR - 30 * MINUTE, readings=9)
    assert found(about(near, old)).since == old.first
    assert found(about(old, near, refused(readings=3))).since == NOW
    assert found(about(old, near, refused(readings=1))).since == old.first


def test_what_was_refused_before_the_departure_or_is_of_another_logger_does_not_count() -> None:
    assert look(about(refused(first=START - 2 * HOUR, readings=9))).found is None
    assert look(facts(refused={"D2": (refused(readings=9),)})).found is None
    assert look(facts()).found is None


def test_an_hour_of_contradictions_on_the_grid_is_a_clock_that_was_set_back() -> None:
    began = NOW - HOUR
    hour = tuple(began - HOUR + 5 * MINUTE * n for n in range(12))
    known = about(
        refused("conflict", began, NOW - 5 * MINUTE, 12, instants=hour), interval={"D1": 5 * MINUTE}
    )
    what = found(known)
    assert what.details["clock_fault"] == "hour_repeated"
    assert "summer time" in what.message
    some = about(refused("conflict", readings=3, instants=hour[:3]), interval={"D1": 5 * MINUTE})
    assert "clock_fault" not in found(some).details


def test_what_is_said_does_not_change_with_every_reading() -> None:
    first = refused("clock_behind", NOW - 30 * MINUTE, NOW, 4, "reset", sent_at=START, true_at=NOW)
    later = refused("clock_behind", NOW + 30 * MINUTE, NOW + 40 * MINUTE, 4, "behind", sent_at=START)
    assert found(about(first)) == found(about(first, later), NOW + HOUR, NOW + HOUR)
