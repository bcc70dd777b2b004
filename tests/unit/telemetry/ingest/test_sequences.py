"""Acknowledgements of a logger's sequence numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from telemetry.ingest.sequences import MAX_MISSING, MAX_RANGES, Acknowledgement, join_ranges

seqs = st.sets(st.integers(0, 400), min_size=1)


def content(*received):
    return Acknowledgement("LOG-1", 3, list(received)).content()


def test_nothing_missing():
    assert content((0, 4711)) == {"boot": 3, "through": 4711, "missing": [], "highest": 4711}


def test_gaps():
    assert content((0, 119), (131, 140), (142, 142)) == {
        "boot": 3,
        "through": 119,
        "missing": [(120, 130), (141, 141)],
        "highest": 142,
    }


def test_the_first_ones_missing():
    assert content((7, 9)) == {"boot": 3, "through": -1, "missing": [(0, 6)], "highest": 9}


def test_a_counter_that_starts_at_1():
    assert content((1, 9)) == {"boot": 3, "through": 9, "missing": [(0, 0)], "highest": 9}


def test_more_gaps_than_a_message_names():
    received = [(10 * number, 10 * number) for number in range(MAX_RANGES)]
    message = content(*received)
    assert len(message["missing"]) == MAX_MISSING
    assert message["highest"] == received[-1][1]
    assert content(*received, (5000, 5000)) == message


@given(seqs)
def test_what_is_not_told_as_missing_is_there(received):
    message = content(*join_ranges(received))
    missing = {seq for first, last in message["missing"] for seq in range(first, last + 1)}
    assert set(range(message["highest"] + 1)) - missing == {
        seq for seq in received if seq <= message["highest"]
    }
    assert message["highest"] == max(received) or len(message["missing"]) == MAX_MISSING
    assert set(range(1, message["through"] + 1)) <= received


@given(st.lists(st.integers(0, 60)))
def test_ranges_are_the_numbers_joined(numbers):
    joined = join_ranges(numbers)
    assert [seq for first, last in joined for seq in range(first, last + 1)] == sorted(set(numbers))
    assert all(after[0] > before[1] + 1 for before, after in pairwise(joined))
