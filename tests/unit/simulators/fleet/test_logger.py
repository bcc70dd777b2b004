"""A logger over its journey: live, silent in flight, uploaded after landing, restarted."""

from dataclasses import replace

import pytest

from simulators.fleet.logger import Logger
from simulators.fleet.truth_file import truth_of_shipment
from simulators.journeys.ticks import ticks_taken_by
from simulators.wire.ack import Ack
from simulators.wire.ranges import seqs


def taken(logger, now_ms):
    return [seq for batch in logger.take(now_ms) for seq in seqs(batch.ranges)]


def acked(logger, journey, highest, *missing):
    return logger.confirm(Ack(boot=journey.boot, missing=missing, highest=highest), journey.off_ms)


@pytest.fixture
def flying(fleet_in, journey):
    """A logger that has sent and been confirmed everything up to take-off, with the times of its first flight."""
    logger = Logger(fleet_in(), 0, journey.on_ms)
    off_ms, on_ms = (
        journey.clock.wall_ms(at) for at in (journey.flights[0].begins_s, journey.flights[0].ends_s)
    )
    sent = taken(logger, off_ms - 1)
    acked(logger, journey, len(sent) - 1)
    return logger, off_ms, on_ms


def test_it_wakes_for_each_reading_and_sends_it(fleet_in, journey):
    logger = Logger(fleet_in(), 0, journey.on_ms - 1)
    now_ms, sent = journey.on_ms - 1, []
    for _ in range(4):
        sent.append(taken(logger, now_ms))
        now_ms = logger.due_ms(now_ms)
    assert sent == [[], [0], [1], [2]]
    assert logger.online


def test_silent_in_flight(flying, journey):
    logger, off_ms, on_ms = flying
    assert taken(logger, off_ms + 60_000) == []
    assert not logger.online
    assert logger.unconfirmed > 0
    assert logger.due_ms(off_ms + 60_000) == on_ms


def test_uploaded_after_landing(flying, journey):
    logger, off_ms, on_ms = flying
    taken(logger, off_ms + 1000)
    batches = logger.take(on_ms)
    assert logger.online
    assert all(len(seqs(batch.ranges)) <= 100 for batch in batches)
    first_in_flight = int((journey.flights[0].begins_s - journey.on_s) / 60) + 1
    assert seqs(batches[0].ranges)[:2] == [first_in_flight, first_in_flight + 1]


def test_what_nobody_answered_before_the_flight_is_sent_after_it(fleet_in, journey):
    logger = Logger(fleet_in(), 0, journey.on_ms)
    off_ms, on_ms = (
        journey.clock.wall_ms(at) for at in (journey.flights[0].begins_s, journey.flights[0].ends_s)
    )
    assert taken(logger, off_ms - 1)
    assert taken(logger, off_ms) == []
    assert taken(logger, on_ms)[0] == 0


def test_acks_of_another_boot_are_for_another_time(fleet_in, journey):
    logger = Logger(fleet_in(), 0, journey.on_ms)
    taken(logger, journey.on_ms)
    assert logger.confirm(Ack(boot=journey.boot + 1, missing=(), highest=100), journey.on_ms) == 0
    assert acked(logger, journey, 0) == 1


def test_finished_when_all_is_taken_and_confirmed(fleet_in, journey):
    logger = Logger(fleet_in(), 0, journey.on_ms)
    assert not logger.finished
    taken(logger, journey.off_ms)
    assert logger.online  # read out, although switched off
    assert not logger.finished
    acked(logger, journey, journey.tick_count - 1)
    assert logger.finished
    assert taken(logger, journey.off_ms + 1) == []
    assert not logger.online
    assert logger.due_ms(journey.off_ms + 1) is None


def test_stopped_in_flight_it_is_read_out(flying, fleet_in, journey):
    _, off_ms, _ = flying
    until_ms = off_ms + 30_000
    logger = Logger(fleet_in(), 0, journey.on_ms, until_ms)
    taken(logger, until_ms)
    assert not logger.online
    assert logger.due_ms(until_ms) == until_ms + 1
    sent = taken(logger, until_ms + 1)
    assert sent[0] == 0
    assert logger.taken == len(range(journey.on_ms, until_ms + 1, 1000))
    assert not logger.finished
    acked(logger, journey, logger.taken - 1)
    assert logger.finished


def test_a_restarted_logger_goes_on_where_it_was(fleet_in):
    """Whatever the moment, both know the same readings; one answer tells the new one what it need not send."""
    fleet = fleet_in("demo", waves=True)
    journeys = fleet.journeys(0)
    first, second = next(journeys), next(journeys)
    old = Logger(fleet, 0, first.on_ms)
    now_ms = second.on_ms + 30_000
    old.take(now_ms)
    new = Logger(fleet, 0, now_ms)
    again = new.take(now_ms)
    assert new.taken == old.taken
    assert {batch.journey.boot for batch in again} == {first.boot, second.boot}
    acked(new, first, first.tick_count - 1)
    assert new.unconfirmed == new.taken - first.tick_count


def test_the_same_history_gives_the_same_messages(fleet_in):
    def messages():
        logger, now_ms, sent = Logger(fleet_in("demo"), 1, 0), 0, []
        while (due_ms := logger.due_ms(now_ms)) is not None and len(sent) < 200:
            now_ms = due_ms
            sent += [batch.payload() for batch in logger.take(now_ms)]
        return sent

    assert messages() == messages()


def test_a_silence_longer_than_the_memory_leaves_a_gap_that_the_truth_knows_of(fleet_in):
    fleet = replace(fleet_in(), memory=50)
    journey = next(fleet.journeys(0))
    flight = journey.flights[0]
    off_ms, on_ms = (journey.clock.wall_ms(at) for at in (flight.begins_s, flight.ends_s))
    logger = Logger(fleet, 0, journey.on_ms)
    for now_ms in range(journey.on_ms, off_ms, 1000):
        acked(logger, journey, (taken(logger, now_ms) or [-1])[-1])
    before = logger.taken
    sent = taken(logger, on_ms)
    lost = (before, sent[0] - 1)
    ticks = ticks_taken_by(journey, on_ms)
    assert sent == list(range(ticks - 50, ticks))
    assert lost[1] - lost[0] > 200
    truth = truth_of_shipment(journey, on_ms)
    assert truth["memory"] == 50
    assert truth["memory_gaps"] == [{"boot": journey.boot, "first": lost[0], "last": lost[1]}]


def test_a_service_that_never_answers_costs_what_the_memory_does_not_hold(fleet_in):
    fleet = replace(fleet_in(), memory=50)
    journey = next(fleet.journeys(0))
    logger = Logger(fleet, 0, journey.on_ms)
    until_ms = journey.clock.wall_ms(journey.on_s + 140 * 60)
    sent = set()
    for now_ms in range(journey.on_ms, until_ms, 1000):
        sent |= set(taken(logger, now_ms))
    last = logger.taken - 51
    assert logger.lost == {journey.shipment_id: [(0, last)]}
    assert logger.unconfirmed == 50
    assert sent > {0, 1, 2, 3}
    truth = truth_of_shipment(journey, until_ms - 1000, logger.lost[journey.shipment_id])
    assert truth["readings"] == 50
    assert truth["memory_gaps"] == [{"boot": journey.boot, "first": 0, "last": last}]


def test_the_memory_goes_to_the_newest_journey_first(fleet_in):
    fleet = replace(fleet_in("demo", waves=True), memory=100)
    journeys = fleet.journeys(0)
    first, second = next(journeys), next(journeys)
    logger = Logger(fleet, 0, first.on_ms)
    logger.take(second.on_ms + 30_000)
    assert logger.unconfirmed == 100
    newest = logger.lost[first.shipment_id]
    assert newest[0][0] == 0
    assert newest[-1][1] == first.tick_count - (100 - 31) - 1
