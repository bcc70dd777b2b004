"""Buckets: what is there can be taken, what was taken comes back in time, and memory has a bound."""

from hypothesis import given
from hypothesis import strategies as st

from api.rates.bucket import Buckets, Empty, Rate, Taken, retry_after

TEN = Rate(most=10, within_s=5)
HUNDRED = Rate(most=100, within_s=10)


def test_all_at_once_and_then_as_it_comes_back() -> None:
    buckets = Buckets()
    assert all(isinstance(buckets.take([("a", TEN)], 1, 0.0), Taken) for _ in range(10))
    assert buckets.take([("a", TEN)], 1, 0.0) == Empty(rate=TEN, place=0, wait_s=0.5)
    assert isinstance(buckets.take([("a", TEN)], 1, 0.5), Taken)
    assert isinstance(buckets.take([("a", TEN)], 1, 0.5), Empty)
    assert buckets.take([("b", TEN)], 1, 0.5) == Taken(rate=TEN, left=9)


def test_from_all_or_from_none() -> None:
    buckets = Buckets()
    of = [("key", TEN), ("organization", HUNDRED)]
    assert isinstance(buckets.take(of, 10, 0.0), Taken)
    assert buckets.take(of, 1, 0.0) == Empty(rate=TEN, place=0, wait_s=0.5)
    assert buckets.level("organization", HUNDRED, 0.0) == 90


def test_what_no_bucket_holds_costs_a_whole_one() -> None:
    buckets = Buckets()
    assert buckets.take([("a", TEN)], 1000, 0.0) == Taken(rate=TEN, left=0)
    assert buckets.take([("a", TEN)], 1000, 0.0) == Empty(rate=TEN, place=0, wait_s=5)


def test_a_clock_that_is_behind_gives_nothing() -> None:
    buckets = Buckets()
    buckets.take([("a", TEN)], 10, 100.0)
    assert buckets.level("a", TEN, 0.0) == 0


@given(
    steps=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 40)), max_size=60),
    most=st.integers(1, 50),
    within_s=st.integers(1, 100),
)
def test_nobody_ever_gets_more_than_a_bucket_and_what_came_back(
    steps: list[tuple[float, int]], most: int, within_s: int
) -> None:
    buckets, rate = Buckets(), Rate(most=most, within_s=within_s)
    now, had = 0.0, 0.0
    for later, cost in steps:
        now += later
        found = buckets.take([("a", rate)], cost, now)
        if isinstance(found, Taken):
            had += min(cost, most)
        else:
            # What it says of the wait is true: then it is there.
            again = Buckets()
            again._levels = dict(buckets._levels)
            assert isinstance(again.take([("a", rate)], cost, now + found.wait_s + 1e-6), Taken)
        assert had <= most + now * rate.per_s + 1e-6


def test_memory_has_a_bound_and_whoever_has_taken_most_is_not_forgotten() -> None:
    buckets = Buckets(remembered=100)
    buckets.take([("attacker", TEN)], 10, 0.0)
    for number in range(10_000):
        buckets.take([(f"stranger {number}", TEN)], 1, 0.0)
        assert len(buckets) <= 201
    assert buckets.level("attacker", TEN, 0.0) == 0
    buckets = Buckets(remembered=100)
    for number in range(1000):  # each full again when the next one comes
        buckets.take([(f"visitor {number}", TEN)], 1, number * 10.0)
    assert len(buckets) <= 101


def test_by_force_a_bucket_goes_below_empty_and_no_lower_than_its_size() -> None:
    buckets = Buckets()
    for _ in range(100):
        left = buckets.force("a", TEN, 1, 0.0)
    assert left == -10
    assert buckets.force("a", TEN, -100, 0.0) == 10


def test_who_waits_as_long_as_told_waits_long_enough() -> None:
    assert [retry_after(wait_s) for wait_s in (0.0, 0.2, 1.0, 1.01)] == [1, 1, 1, 2]
