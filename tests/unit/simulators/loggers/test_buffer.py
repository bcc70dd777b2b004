"""What a logger keeps, sends and sends again."""

import random

import pytest

from simulators.loggers.buffer import Buffer
from simulators.wire.ack import Ack
from simulators.wire.ranges import seqs


def buffer(**changes):
    return Buffer(**{"batch": 100, "window": 2, "timeout_s": 10, "longest_s": 60} | changes)


def ack(highest, *missing):
    return Ack(boot=0, missing=missing, highest=highest)


def test_one_by_one_as_they_are_taken():
    b = buffer()
    b.fill(1)
    assert b.take(0) == [[(0, 0)]]
    b.fill(2)
    assert b.take(1) == [[(1, 1)]]
    assert b.take(2) == []


def test_all_at_once_in_batches_within_the_window():
    b = buffer()
    b.fill(250)
    assert b.take(0) == [[(0, 99)], [(100, 199)]]
    assert b.take(1) == []
    assert b.confirm(ack(99), 1) == 100
    assert b.take(2) == [[(200, 249)]]
    assert b.unconfirmed == 150


def test_kept_until_confirmed():
    b = buffer()
    b.fill(3)
    b.take(0)
    assert b.unconfirmed == 3
    assert b.confirm(ack(2), 0) == 3
    assert b.unconfirmed == 0
    assert b.due_s() is None


def test_what_is_missing_is_sent_again_after_the_time_out():
    b = buffer()
    b.fill(100)
    b.take(0)
    b.confirm(ack(99, (20, 30), (40, 40)), 0)
    assert b.unconfirmed == 12
    assert b.take(9) == []
    assert b.due_s() == 10
    assert b.take(10) == [[(20, 30), (40, 40)]]


def test_tries_are_ever_further_apart():
    b = buffer()
    b.fill(1)
    b.take(0)
    tries = []
    for _ in range(5):
        tries.append(b.due_s())
        assert b.take(tries[-1]) == [[(0, 0)]]
    assert tries == [10, 30, 70, 130, 190]


def test_once_the_service_answers_the_wait_is_short_again():
    b = buffer()
    b.fill(1)
    for now_s in (0, 10, 30, 70):
        b.take(now_s)
    assert b.due_s() == 130
    b.fill(2)
    b.take(71)
    b.confirm(ack(1, (0, 0)), 72)
    assert b.due_s() == 112
    assert b.take(112) == [[(0, 0)]]
    assert b.due_s() == 172


def test_a_service_that_is_away_is_not_flooded():
    b = buffer()
    for taken in range(1, 1000):
        b.fill(taken)
        batches = b.take(0)
        assert sum(len(seqs(batch)) for batch in batches) == (1 if taken <= 2 else 0)
    b.confirm(ack(1), 0)
    assert b.take(1) == [[(2, 101)], [(102, 201)]]


def test_a_hole_that_stays_does_not_keep_back_the_rest():
    b = buffer()
    for taken in range(1, 200):
        b.fill(taken)
        b.take(0)
        b.confirm(ack(taken - 1, (0, 0)), 0)
    assert b.unconfirmed == 1


def test_after_a_restart_one_answer_spares_all_that_the_service_has():
    b = buffer()
    b.fill(1000)
    b.take(0)
    assert b.confirm(ack(900, (500, 509)), 0) == 891
    assert [seqs(batch) for batch in b.take(0)] == [[*range(500, 510), *range(901, 991)], [*range(991, 1000)]]


def test_what_was_out_before_a_silence_is_sent_anew():
    b = buffer()
    b.fill(2)
    b.take(0)
    b.fill(50)
    b.recall()
    assert b.take(5) == [[(0, 49)]]


def test_an_ack_beyond_what_was_taken_changes_nothing_to_come():
    b = buffer()
    b.fill(2)
    b.confirm(ack(99), 0)
    b.fill(4)
    assert b.take(0) == [[(2, 3)]]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_gets_lost_all_arrives_in_the_end(seed):
    chance, b = random.Random(seed), buffer(batch=7, window=3)
    stored, taken, now = set(), 0, 0.0
    while taken < 300 or b.unconfirmed:
        now += chance.uniform(0, 5)
        taken = min(300, taken + chance.randrange(6))
        b.fill(taken)
        if chance.random() < 0.05:
            b.recall()
        for batch in b.take(now):
            assert len(seqs(batch)) <= 7
            if chance.random() < 0.6:
                stored.update(seqs(batch))
            if stored and chance.random() < 0.6:
                missing = tuple((seq, seq) for seq in range(max(stored)) if seq not in stored)
                b.confirm(ack(max(stored), *missing), now)
        assert stored | set(seqs(b._waiting)) | {s for out in b._out for s in seqs(out.ranges)} == set(
            range(taken)
        )
    assert stored == set(range(300))


def test_a_full_memory_loses_its_oldest():
    b = buffer()
    b.fill(250)
    b.take(0)
    assert b.overwrite(150) == 150
    assert b.overwrite(150) == b.overwrite(120) == 0
    assert b.overwritten == [(0, 149)]
    assert b.unconfirmed == 100
    b.recall()
    assert b.take(1) == [[(150, 249)]]


def test_what_was_confirmed_before_is_not_lost():
    b = buffer()
    b.fill(100)
    b.take(0)
    b.confirm(ack(99, (20, 29)), 0)
    assert b.overwrite(25) == 5
    assert b.overwritten == [(20, 24)]


def test_what_turns_out_to_be_stored_was_not_lost():
    b = buffer()
    b.fill(100)
    b.take(0)
    b.overwrite(50)
    assert b.confirm(ack(99, (10, 19)), 1) == 50
    assert b.overwritten == [(10, 19)]
    assert b.unconfirmed == 0


def again(highest, *missing):
    return Ack(boot=0, missing=missing, highest=highest, resend=True)


def test_what_the_service_has_lost_is_sent_again_as_far_as_the_memory_holds_it():
    b = buffer()
    b.fill(100)
    b.take(0)
    assert b.confirm(ack(99), 1) == 100
    b.overwrite(40)
    assert b.take(2) == []
    b.confirm(again(59, (20, 49)), 3)
    assert b.unconfirmed == 50
    assert b.take(3) == [[(40, 49), (60, 99)]]
    b.confirm(again(59, (20, 49)), 4)
    assert b.unconfirmed == 50, "what is on its way is not sent twice"
    b.confirm(again(99, (20, 39)), 5)
    assert b.unconfirmed == 0
    b.confirm(again(99, (20, 39)), 6)
    assert b.take(7) == [], "asked again for what it has not got any more, it sends nothing"
    assert b.overwritten == []


def test_an_older_acknowledgement_does_not_bring_back_what_was_confirmed():
    b = buffer()
    b.fill(100)
    b.take(0)
    b.confirm(ack(99), 1)
    b.confirm(ack(49), 2)
    assert b.unconfirmed == 0


def test_only_readings_that_there_were_are_sent_again():
    b = buffer()
    b.fill(10, [(0, 2), (7, 9)])
    b.take(0)
    b.confirm(ack(9), 1)
    b.confirm(again(-1), 2)
    assert b.take(3) == [[(0, 2), (7, 9)]]
