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

from simulators.exports.choices import RepeatedHour, TraceRefusedError
from simulators.exports.zones import PlacedTime, contradicts

_SLACK = 0.2


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A local time of a logger, the line it stands on, and its text."""

    line: int
    text: str
    local: datetime


def place_all(
    times: Sequence[LocalTime], zone: tzinfo | None, repeated_hour: RepeatedHour | None
) -> dict[int, PlacedTime]:
    """Return the instant of each line of one logger, of times in the order of the file.

    Raises a TraceRefusedError if the zone cannot be that of the logger's clock, or an hour that occurs twice
    does not tell which one it is.
    """
    steps = _steps([each.local.replace(tzinfo=None) for each in times])
    backward = sum(step < timedelta(0) for step in steps) * 2 > len(steps)
    in_time = [_checked(each, zone) for each in (reversed(times) if backward else times)]
    placed: dict[int, PlacedTime] = {}
    before: datetime | None = None
    blocks = [
        (twice, list(block)) for twice, block in groupby(in_time, key=lambda each: _is_twice(each, zone))
    ]
    usual = _usual(in_time, zone)
    for n, (twice, block) in enumerate(blocks):
        if twice:
            following = blocks[n + 1][1][0] if n + 1 < len(blocks) else None
            after = None if following is None else _instant(following, zone, fold=0)
            instants = _settled(block, zone, before, after, usual, repeated_hour)
        else:
            instants = [_instant(each, zone, fold=0) for each in block]
        placed |= {each.line: PlacedTime(at, twice=twice) for each, at in zip(block, instants, strict=True)}
        before = instants[-1]
    return placed


def _checked(time: LocalTime, zone: tzinfo | None) -> LocalTime:
    """Return the time. Raises a TraceRefusedError if it speaks against the zone."""
    place = contradicts(time.local.replace(tzinfo=None), time.local.tzinfo or zone)
    if place is not None:
        name = (time.local.tzinfo or zone or UTC).tzname(None)
        raise TraceRefusedError(
            f"line {time.line}: on {time.text}, clocks did not show {name} where it is used, as in {place}: "
            f"state --time-zone, such as {place} or an offset"
        )
    first, second = (_instant(time, zone, fold=fold) for fold in (0, 1))
    if first > second:  # Python answers so for an hour that the clocks skipped
        offsets = _offsets(time, zone)
        raise TraceRefusedError(
            f"line {time.line}: {time.text} does not exist in {zone}, since the clocks were put forward over it: "
            f"the logger's clock was not. State its offset, --time-zone {offsets[0]} or {offsets[1]}"
        )
    return time


def _is_twice(time: LocalTime, zone: tzinfo | None) -> bool:
    return _instant(time, zone, fold=0) != _instant(time, zone, fold=1)


def _instant(time: LocalTime, zone: tzinfo | None, *, fold: int) -> datetime:
    return time.local.replace(tzinfo=time.local.tzinfo or zone, fold=fold).astimezone(UTC)


def _offsets(time: LocalTime, zone: tzinfo | None) -> tuple[str, str]:
    first, second = (
        time.local.replace(tzinfo=time.local.tzinfo or zone, fold=fold).strftime("%z") for fold in (0, 1)
    )
    return f"{first[:3]}:{first[3:5]}", f"{second[:3]}:{second[3:5]}"


def _steps(instants: Sequence[datetime]) -> list[timedelta]:
    return [b - a for a, b in pairwise(instants)]


def _usual(times: Sequence[LocalTime], zone: tzinfo | None) -> timedelta | None:
    """Return the most frequent step between times that occur once; None if there are too few."""
    steps: Counter[timedelta] = Counter()
    for once, block in groupby(times, key=lambda each: not _is_twice(each, zone)):
        if once:
            steps.update(step for step in _steps([_instant(each, zone, fold=0) for each in block]) if step)
    step, seen = steps.most_common(1)[0] if steps else (None, 0)
    return step if seen > 1 else None


def _settled(
    block: Sequence[LocalTime],
    zone: tzinfo | None,
    before: datetime | None,
    after: datetime | None,
    usual: timedelta | None,
    repeated_hour: RepeatedHour | None,
) -> list[datetime]:
    """Return the instants of times that occur twice: up to one of them the first, from there on the second."""
    ways = [
        [_instant(each, zone, fold=int(n >= split)) for n, each in enumerate(block)]
        for split in range(len(block) + 1)
    ]
    orderly = [way for way in ways if all(step >= timedelta(0) for step in _steps(way))]
    if len(orderly) == 1 and any(step < timedelta(0) for step in _steps([each.local for each in block])):
        return orderly[0]
    around = ([] if before is None else [before], [] if after is None else [after])
    regular = [way for way in orderly if _is_regular([*around[0], *way, *around[1]], usual)]
    if len(regular) == 1:
        return regular[0]
    if repeated_hour is not None and (way := ways[-1 if repeated_hour == "first" else 0]) in orderly:
        return way
    raise TraceRefusedError(_question(block, zone))


def _is_regular(instants: Sequence[datetime], usual: timedelta | None) -> bool:
    """Whether all steps are as long as most of the file's, or, without such, as long as each other."""
    steps = _steps(instants)
    if not steps or (usual is None and len(steps) < 2):
        return False
    expected = usual or steps[0]
    return all(abs(step - expected) <= expected * _SLACK for step in steps) and expected > timedelta(0)


def _question(block: Sequence[LocalTime], zone: tzinfo | None) -> str:
    offsets = _offsets(block[0], zone)
    lines = f"line {block[0].line}" if len(block) == 1 else f"lines {block[0].line} to {block[-1].line}"
    return (
        f"{lines}: {block[0].text} occurs twice in {zone}, since the clocks were put back, and the times around it "
        f"do not tell which it is. If the logger's clock was not put back, state its offset, --time-zone {offsets[0]} "
        f"or {offsets[1]}; else state --repeated-hour first or second"
    )
