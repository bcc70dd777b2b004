"""Pure: the instants of local times in a zone whose clocks are put forward and back.

As clocks are put back, each time of an hour occurs twice. Where the times of a logger go back, the second hour
begins. Where they do not, as with a reading each hour, the steps between the readings tell: a logger keeps its
interval. If neither tells, nothing is guessed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from typing import NamedTuple

from simulators.exports.choices import RepeatedHour, TraceRefusedError
from simulators.exports.zones import PlacedTime, contradicts

# How far a step may be off the interval, as clocks drift: a part of it, and never near the hour that is in question.
_SLACK, _SLACK_AT_MOST = 0.2, timedelta(minutes=10)
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A local time of a logger, the line it stands on, and its text."""

    line: int
    text: str
    local: datetime


class _Possible(NamedTuple):
    """The instants that a local time may mean: two where it occurs twice, else the same."""

    time: LocalTime
    first: datetime
    second: datetime

    @property
    def twice(self) -> bool:
        return self.first != self.second


def place_all(
    times: Sequence[LocalTime], zone: tzinfo | None, repeated_hour: RepeatedHour | None
) -> dict[int, PlacedTime]:
    """Return the instant of each line of one logger, of times in the order of the file.

    Raises a TraceRefusedError if the zone cannot be that of the logger's clock, or an hour that occurs twice
    does not tell which one it is.
    """
    steps = _steps([each.local.replace(tzinfo=None) for each in times])
    backward = sum(step < _NONE for step in steps) * 2 > len(steps)
    in_time = [_possible(each, zone) for each in (reversed(times) if backward else times)]
    blocks = [(twice, list(block)) for twice, block in groupby(in_time, key=lambda each: each.twice)]
    usual = _usual([block for twice, block in blocks if not twice])
    placed: dict[int, PlacedTime] = {}
    before: datetime | None = None
    for n, (twice, block) in enumerate(blocks):
        after = blocks[n + 1][1][0].first if n + 1 < len(blocks) else None
        once = None if twice else [each.first for each in block]
        instants = once or _settled(block, before, after, usual, repeated_hour)
        if instants is None:
            raise TraceRefusedError(_question(block, zone))
        for each, at in zip(block, instants, strict=True):
            placed[each.time.line] = PlacedTime(at, twice=twice)
        before = instants[-1]
    return placed


def _possible(time: LocalTime, zone: tzinfo | None) -> _Possible:
    """Return the instants of a local time. Raises a TraceRefusedError if it speaks against the zone."""
    own = time.local.tzinfo or zone
    place = contradicts(time.local.replace(tzinfo=None), own)
    if place is not None:
        raise TraceRefusedError(
            f"line {time.line}: on {time.text}, clocks did not show {(own or UTC).tzname(None)} where it is used, as in "
            f"{place}: state --time-zone, such as {place} or an offset"
        )
    first, second = (time.local.replace(tzinfo=own, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # Python answers so for an hour that the clocks skipped
        offsets = _offsets(time, zone)
        raise TraceRefusedError(
            f"line {time.line}: {time.text} does not exist in {own}, since the clocks were put forward over it: "
            f"the logger's clock was not. State its offset, --time-zone {offsets[0]} or {offsets[1]}"
        )
    return _Possible(time, first, second)


def _offsets(time: LocalTime, zone: tzinfo | None) -> tuple[str, str]:
    own = time.local.tzinfo or zone
    first, second = (time.local.replace(tzinfo=own, fold=fold).strftime("%z") for fold in (0, 1))
    return f"{first[:3]}:{first[3:5]}", f"{second[:3]}:{second[3:5]}"


def _steps(instants: Sequence[datetime]) -> list[timedelta]:
    return [b - a for a, b in pairwise(instants)]


def _usual(blocks: Sequence[Sequence[_Possible]]) -> timedelta | None:
    """Return the most frequent step between times that occur once; None if none is frequent."""
    steps: Counter[timedelta] = Counter()
    for block in blocks:
        steps.update(step for step in _steps([each.first for each in block]) if step)
    step, seen = steps.most_common(1)[0] if steps else (None, 0)
    return step if seen > 1 else None


def _settled(
    block: Sequence[_Possible],
    before: datetime | None,
    after: datetime | None,
    usual: timedelta | None,
    repeated_hour: RepeatedHour | None,
) -> list[datetime] | None:
    """Return the instants of times that occur twice: up to one of them the first, from there on the second.

    None if nothing tells from which one on.
    """
    first, second = [each.first for each in block], [each.second for each in block]
    ways = [first[:split] + second[split:] for split in range(len(block) + 1)]
    orderly = [way for way in ways if all(step >= _NONE for step in _steps(way))]
    if len(orderly) == 1 and any(step < _NONE for step in _steps(first)):
        return orderly[0]
    around = ([] if before is None else [before], [] if after is None else [after])
    regular = [way for way in orderly if _is_regular([*around[0], *way, *around[1]], usual)]
    if len(regular) == 1:
        return regular[0]
    stated = {"first": first, "second": second, None: None}[repeated_hour]
    return stated if stated in orderly else None


def _is_regular(instants: Sequence[datetime], usual: timedelta | None) -> bool:
    """Whether all steps are as long as most of the file's, or, without such, as long as each other."""
    steps = _steps(instants)
    if not steps or (usual is None and len(steps) < 2):
        return False
    expected = usual or steps[0]
    slack = min(expected * _SLACK, _SLACK_AT_MOST)
    return expected > _NONE and all(abs(step - expected) <= slack for step in steps)


def _question(block: Sequence[_Possible], zone: tzinfo | None) -> str:
    begins, ends = block[0].time, block[-1].time
    offsets = _offsets(begins, zone)
    lines = f"line {begins.line}" if len(block) == 1 else f"lines {begins.line} to {ends.line}"
    return (
        f"{lines}: {begins.text} occurs twice in {begins.local.tzinfo or zone}, since the clocks were put back, and the "
        f"times around it do not tell which it is. If the logger's clock was not put back, state its offset, "
        f"--time-zone {offsets[0]} or {offsets[1]}; else state --repeated-hour first or second"
    )
