"""Pure: which fault of a clock a time that cannot be shows, and what the true time probably was.

Known faults leave marks. Seconds taken for milliseconds lie in January 1970, and times a thousand are now. A receiver that
counts GPS weeks in ten bits is 1024 weeks behind, to the second. A clock that lost its power counts on from a date that its
maker chose. A wrong year leaves month, day and hour as they are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from telemetry.timekeeping.possible_times import AHEAD_AT_MOST, LoggerHistory, is_possible

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ROLLOVER: Final = timedelta(weeks=1024)
_ROLLOVERS: Final = (1, 2)
_COUNTED_AT_MOST: Final = timedelta(days=366)
"""For how long a clock that was reset is believed to have counted since."""
_SCATTERED_FROM: Final = timedelta(days=730)
"""Times of one message that lie further apart than this were not counted by a clock."""
_WRONG_YEARS: Final = range(1, 4)

RESET_TO: Final = (
    datetime(2019, 4, 7, tzinfo=UTC),
    datetime(2004, 1, 1, tzinfo=UTC),
    datetime(2001, 1, 1, tzinfo=UTC),
    datetime(2000, 1, 1, tzinfo=UTC),
    datetime(1999, 8, 22, tzinfo=UTC),
    datetime(1980, 1, 6, tzinfo=UTC),
    datetime(1980, 1, 1, tzinfo=UTC),
    _EPOCH,
)
"""Dates from which clocks count when they have lost their own: of chips, modems, file systems, and the weeks of GPS."""


class ClockFault(StrEnum):
    """How a logger's clock is probably wrong."""

    SECONDS_FOR_MILLISECONDS = "seconds_for_milliseconds"
    WEEK_ROLLOVER = "week_rollover"
    WRONG_YEAR = "wrong_year"
    RESET = "reset"
    SCATTERED = "scattered"
    BEHIND = "behind"
    AHEAD = "ahead"
    HOUR_REPEATED = "hour_repeated"


CERTAIN: Final = frozenset({ClockFault.SECONDS_FOR_MILLISECONDS, ClockFault.WEEK_ROLLOVER})
"""Faults that are off by exactly so much: what they show cannot be another."""

WORDS: Final = {
    ClockFault.SECONDS_FOR_MILLISECONDS: "the logger sends seconds since 1970 where milliseconds are read",
    ClockFault.WEEK_ROLLOVER: "its clock is 1024 weeks behind, as after a rollover of the GPS week",
    ClockFault.WRONG_YEAR: "its clock has a wrong year",
    ClockFault.RESET: "its clock lost the time and counts on from a date of its own",
    ClockFault.SCATTERED: "its clock is dead: the times of one message lie years apart",
    ClockFault.BEHIND: "its clock is far behind",
    ClockFault.AHEAD: "its clock is ahead",
    ClockFault.HOUR_REPEATED: "its clock was set back by an hour, as local time is at the end of summer time",
}
"""Each fault in words, as part of a sentence about the logger."""


class Diagnosis(NamedTuple):
    """What is probably wrong with the clock that gave a time."""

    fault: ClockFault
    true_at: datetime | None
    """When it was probably measured; None: nothing tells."""


def diagnose(instants: Sequence[datetime], received_at: datetime, history: LoggerHistory) -> list[Diagnosis]:
    """Return what is probably wrong with each of the times of one logger in one message, none of which can be."""
    if max(instants) - min(instants) > _SCATTERED_FROM:
        return [Diagnosis(ClockFault.SCATTERED, None)] * len(instants)
    newest = max(instants)
    return [_diagnose(at, newest, received_at, history) for at in instants]


def _diagnose(at: datetime, newest: datetime, received_at: datetime, history: LoggerHistory) -> Diagnosis:
    def can_be(true_at: datetime) -> bool:
        return true_at <= received_at + AHEAD_AT_MOST and is_possible(true_at, received_at, history)

    if can_be(scaled := in_milliseconds(at)):
        return Diagnosis(ClockFault.SECONDS_FOR_MILLISECONDS, scaled)
    for times in _ROLLOVERS:
        if can_be(at + times * ROLLOVER):
            return Diagnosis(ClockFault.WEEK_ROLLOVER, at + times * ROLLOVER)
    # By its newest reading, which was probably sent as soon as it was measured.
    about = received_at - (newest - at)
    if any(timedelta() <= at - reset_to <= _COUNTED_AT_MOST for reset_to in RESET_TO):
        return Diagnosis(ClockFault.RESET, about)
    for years in _WRONG_YEARS:
        if (later := _years_later(at, years)) is not None and can_be(later):
            return Diagnosis(ClockFault.WRONG_YEAR, later)
    return Diagnosis(ClockFault.BEHIND, about)


def in_milliseconds(at: datetime) -> datetime:
    """Return the time that was meant where its seconds since 1970 were read as milliseconds."""
    since = (at - _EPOCH) // timedelta(microseconds=1) * 1000
    try:
        return _EPOCH + timedelta(microseconds=since)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _years_later(at: datetime, years: int) -> datetime | None:
    try:
        return at.replace(year=at.year + years)
    except ValueError:  # 29 February, or beyond the last year
        return None
