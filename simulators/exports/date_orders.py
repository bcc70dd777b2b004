"""Pure: the order of day, month and year in a file, settled by what each order makes of its times, or asked."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.times import DateOrder, WrittenTime

ORDERS: Final[tuple[DateOrder, ...]] = ("day first", "month first", "year first")
_OPTIONS: Final = {"day first": "--day-first", "month first": "--month-first", "year first": "--year-first"}
# Local clocks may go back, and skip, an hour in the year.
_PUT_BACK: Final = timedelta(minutes=65)
_RECENT: Final = timedelta(days=183)
_OLD: Final = timedelta(days=2 * 365)
_AHEAD: Final = timedelta(days=31)
_A_MONTH: Final = timedelta(days=27)


def settle_order(
    times: Sequence[tuple[str, int, WrittenTime]], choices: Choices, now: datetime | None
) -> DateOrder | None:
    """Return the date order of times, each with its logger and line, in the order of the file; None without times.

    Raises a TraceRefusedError if several orders are possible, and the times do not show which it is.
    """
    undecided = [(logger, line, time) for logger, line, time in times if len(time.orders) > 1]
    if not undecided:
        return times[0][2].orders[0] if times else None
    stated = _stated(choices)
    if stated is not None and all(stated in time.orders for _, _, time in undecided):
        return stated
    possible = [order for order in ORDERS if _can_be(order, [time for _, _, time in undecided])]
    if stated in possible:
        return stated
    if len(possible) == 1:
        return possible[0]
    likely = _without_the_future(possible, undecided, now)
    if "day first" in likely and all(time.separator == "." for _, _, time in undecided):
        # Nobody writes the month first with points, and few the year.
        of_now = now is not None and _is_of_now(undecided, now)
        likely = ["day first"] if of_now else [order for order in likely if order != "month first"]
    if len(likely) > 1:
        likely = _seamless(likely, times) or likely
    if len(likely) == 1:
        return likely[0]
    raise TraceRefusedError(_question(likely, undecided))


def _stated(choices: Choices) -> DateOrder | None:
    if choices.year_first:
        return "year first"
    return None if choices.day_first is None else ("day first" if choices.day_first else "month first")


def _can_be(order: DateOrder, times: Iterable[WrittenTime]) -> bool:
    """Whether all dates are possible in an order, except those that are impossible in each."""
    possible = False
    for time in times:
        if order in time.orders and _has_month_and_day(time, order):
            possible = True
        elif any(_has_month_and_day(time, other) for other in time.orders):
            return False
    return possible


def _has_month_and_day(time: WrittenTime, order: DateOrder) -> bool:
    _, month, day = time.date(order)
    return 1 <= month <= 12 and 1 <= day <= 31


def _without_the_future(
    orders: list[DateOrder], times: Sequence[tuple[str, int, WrittenTime]], now: datetime | None
) -> list[DateOrder]:
    """Return the orders without a year that has not begun, if the others are another year."""
    if now is None:
        return orders
    latest = now.replace(tzinfo=None) + _AHEAD
    past = [
        order
        for order in orders
        if all(at is None or at.replace(tzinfo=None) <= latest for at in _settled(times, order))
    ]
    dropped = [order for order in orders if order not in past]
    return past if dropped == ["year first"] or past == ["year first"] else orders


def _is_of_now(times: Sequence[tuple[str, int, WrittenTime]], now: datetime) -> bool:
    """Whether all dates are of the last months with the day first, and years old with the year first."""
    local = now.replace(tzinfo=None)
    new = [at is None or at.replace(tzinfo=None) > local - _RECENT for at in _settled(times, "day first")]
    old = [at is None or at.replace(tzinfo=None) < local - _OLD for at in _settled(times, "year first")]
    return all(new) and all(old)


def _settled(times: Iterable[tuple[str, int, WrittenTime]], order: DateOrder) -> list[datetime | None]:
    return [time.settled(order) for _, _, time in times]


def _seamless(orders: Sequence[DateOrder], times: Sequence[tuple[str, int, WrittenTime]]) -> list[DateOrder]:
    """Return the one order in which the times follow each other without a jump, if all others have one."""
    smooth = [order for order in orders if _is_seamless(times, order)]
    jumping = [order for order in orders if _jumps(times, order)]
    return smooth if len(smooth) == 1 and len(jumping) == len(orders) - 1 else []


def _is_seamless(times: Sequence[tuple[str, int, WrittenTime]], order: DateOrder) -> bool:
    """Whether each step is about as long as most, and all go the same way."""
    all_steps = _steps(times, order)
    if not all_steps:
        return False
    for steps in all_steps:
        lengths = sorted(step for step in steps if step)
        usual = lengths[(len(lengths) - 1) // 2] if lengths else timedelta(0)
        if not all(-_PUT_BACK <= step <= 3 * usual + _PUT_BACK for step in steps):
            return False
    return True


def _jumps(times: Sequence[tuple[str, int, WrittenTime]], order: DateOrder) -> bool:
    """Whether a step goes back, or over about a month or more."""
    return any(step < -_PUT_BACK or step >= _A_MONTH for steps in _steps(times, order) for step in steps)


def _steps(times: Sequence[tuple[str, int, WrittenTime]], order: DateOrder) -> list[list[timedelta]]:
    """Return the steps between the times of each logger that has three or more, from the oldest to the newest."""
    of_loggers: dict[str, list[datetime]] = {}
    for logger, _, time in times:
        at = time.settled(order)
        if at is not None:
            of_loggers.setdefault(logger, []).append(at.replace(tzinfo=None))
    found = []
    for instants in of_loggers.values():
        steps = [b - a for a, b in pairwise(instants)]
        if len(steps) > 1:
            backward = sum(step < timedelta(0) for step in steps) * 2 > len(steps)
            found.append([-step for step in steps] if backward else steps)
    return found


def _question(orders: Sequence[DateOrder], times: Sequence[tuple[str, int, WrittenTime]]) -> str:
    _, line, time = times[0]
    written = time.separator.join(f"{number:02d}" for number in time.numbers)
    if not orders:
        orders = [order for order in ORDERS if any(order in each.orders for _, _, each in times)]
        return (
            f"line {line}: is {written} {_any_of(orders)}? "
            f"The dates of the file contradict each other: state {_any_of([_OPTIONS[order] for order in orders])}"
        )
    dates = [f"{order} ({at:%d %b %Y})" for order in orders if (at := time.settled(order)) is not None]
    return (
        f"line {line}: is {written} {_any_of(dates)}? "
        f"No date in the file decides it: state {_any_of([_OPTIONS[order] for order in orders])}"
    )


def _any_of(words: Sequence[str]) -> str:
    return " or ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} or {words[-1]}"
