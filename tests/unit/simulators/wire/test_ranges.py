"""Ranges of sequence numbers are the sets that they stand for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from simulators.wire.ranges import intersection, seqs, size, split_after, union

RANGES = st.lists(
    st.builds(lambda first, length: (first, first + length), st.integers(0, 40), st.integers(0, 9)),
    max_size=6,
)


@given(RANGES)
def test_a_union_has_each_number_once_in_order_and_touching_ranges_are_one(ranges):
    joined = union(ranges)
    assert seqs(joined) == sorted(set(seqs(ranges)))
    assert all(before[1] + 1 < after[0] for before, after in pairwise(joined))


@given(RANGES, RANGES)
def test_an_intersection_has_what_is_in_both(left, right):
    both = intersection(union(left), union(right))
    assert set(seqs(both)) == set(seqs(left)) & set(seqs(right))
    assert size(both) == len(set(seqs(both)))


@given(RANGES, st.integers(0, 60))
def test_split_after_a_count(ranges, count):
    joined = union(ranges)
    head, rest = split_after(joined, count)
    assert seqs(head) == seqs(joined)[:count]
    assert seqs(rest) == seqs(joined)[count:]
