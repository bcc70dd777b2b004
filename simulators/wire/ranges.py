"""Pure: sequence numbers as sorted, inclusive ranges, and the set operations on them."""

from collections.abc import Iterable, Sequence

SeqRange = tuple[int, int]


def seqs(ranges: Iterable[SeqRange]) -> list[int]:
    return [seq for first, last in ranges for seq in range(first, last + 1)]


def size(ranges: Iterable[SeqRange]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def joined(ranges: Iterable[SeqRange]) -> list[SeqRange]:
    joined: list[SeqRange] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def intersection(left: Sequence[SeqRange], right: Sequence[SeqRange]) -> list[SeqRange]:
    pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in left for b in right)
    return [(first, last) for first, last in pairs if first <= last]


def split_after(ranges: list[SeqRange], size: int) -> tuple[list[SeqRange], list[SeqRange]]:
    """Cut sorted ranges after so many numbers."""
    taken: list[SeqRange] = []
    for position, (first, last) in enumerate(ranges):
        if last - first + 1 > size:
            head = [(first, first + size - 1)] if size else []
            return taken + head, [(first + size, last), *ranges[position + 1 :]]
        taken.append((first, last))
        size -= last - first + 1
    return taken, []
