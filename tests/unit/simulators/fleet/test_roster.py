"""Loggers are made shortly before they are switched on, and are the same as if made at once."""

from simulators.fleet.logger import Logger
from simulators.fleet.roster import MADE_AT_ONCE, MADE_BEFORE_MS, Roster


def test_each_is_made_before_it_is_switched_on(fleet_in):
    fleet = fleet_in(size=40)
    begins = sorted(next(fleet.journeys(index)).on_ms for index in range(40))
    roster, made = Roster(fleet, begins[0]), []
    while not roster.complete:
        now_ms = roster.due_ms
        made += [begins_ms for begins_ms, _ in roster.make(now_ms)]
        assert made[-1] == now_ms + MADE_BEFORE_MS
    assert made == begins
    assert roster.due_ms is None
    assert roster.make(begins[-1]) == []


def test_many_that_are_due_come_in_portions(fleet_in):
    fleet = fleet_in(size=MADE_AT_ONCE + 3)
    roster = Roster(fleet, 0)
    far_ms = next(fleet.journeys(0)).off_ms
    assert [len(roster.make(far_ms)) for _ in range(2)] == [MADE_AT_ONCE, 3]
    assert roster.complete


def test_what_begins_after_the_end_is_never_made(fleet_in):
    fleet = fleet_in(size=40)
    until_ms = fleet.clock.wall_ms(600)
    roster = Roster(fleet, 0, until_ms)
    made = roster.make(until_ms + 10**6)
    assert 0 < len(made) < 40
    assert roster.complete
    assert all(begins_ms <= until_ms for begins_ms, _ in made)


def test_they_send_the_same_bytes_as_one_made_alone(fleet_in):
    fleet = fleet_in("everything", size=12)
    for begins_ms, logger in Roster(fleet, 0).make(fleet.clock.wall_ms(1300)):
        index = int(logger.device_id[-4:]) - 1
        alone, now_ms = Logger(fleet, index, begins_ms), begins_ms
        for _ in range(50):
            one, other = logger.take(now_ms), alone.take(now_ms)
            assert [batch.payload() for batch in one] == [batch.payload() for batch in other]
            now_ms = alone.due_ms(now_ms)
