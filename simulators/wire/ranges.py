"""Pure: sets of sequence numbers as sorted, inclusive ranges."""

from collections.abc import Iterable, Sequence

SeqRange = tuple[int, int]


def seqs(ranges: Iterable[SeqRange]) -> list[int]:
    """Return every number in the ranges."""
    return [seq for first, last in ranges for seq in range(first, last + 1)]


def size(ranges: Iterable[SeqRange]) -> int:
    """Return how many numbers the ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def union(ranges: Iterable[SeqRange]) -> list[SeqRange]:
    """Return the ranges sorted, with those that overlap or touch merged into one."""
    merged: list[SeqRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def intersection(left: Sequence[SeqRange], right: Sequence[SeqRange]) -> list[SeqRange]:
    """Return the ranges of the numbers that are in both."""
    pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in left for b in right)
    return [(first, last) for first, last in pairs if first <= last]


def difference(left: Sequence[SeqRange], right: Sequence[SeqRange]) -> list[SeqRange]:
    """Return the ranges of the numbers that are in `left` and not in `right`."""
    kept = list(left)
    for first, last in right:
        before = intersection(kept, [(kept[0][0], first - 1)]) if kept else []
        after = intersection(kept, [(last + 1, kept[-1][1])]) if kept else []
        kept = [*before, *after]
    return kept


def split_after(ranges: list[SeqRange], count: int) -> tuple[list[SeqRange], list[SeqRange]]:
    """Split sorted ranges into the first `count` numbers and the rest."""
    taken: list[SeqRange] = []
    for position, (first, last) in enumerate(ranges):
        if last - first + 1 > count:
            head = [(first, first + count - 1)] if count else []
            return taken + head, [(first + count, last), *ranges[position + 1 :]]
        taken.append((first, last))
        count -= last - first + 1
    return taken, []
