"""Pure: when a site receives: open or not at an instant, and when that changes, by the clock on its wall.

A span such as 08:00 to 17:00 is open from the first instant at which the site's wall clock has come to its beginning
until the first at which it has come to its end. So a span is never open twice where clocks are set back, and where they
are set forward over its beginning it begins with the leap. One that ends at or before its beginning, such as 22:00 to
06:00, ends on the next day. On a closed date no span begins, and one of the evening before ends at midnight.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD = timedelta(days=2 * 366)
"""What does not happen within two years is said not to happen."""

_DAY = timedelta(days=1)
_WEEKS_ALIKE = 15  # days: a whole week, also where a leap of the clocks swallows one of its spans
_LAST_DAY = date(9999, 12, 28)  # the calendar's end, with room for a span and a zone
_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)

Span: TypeAlias = tuple[timedelta, timedelta]
"""From and to, since midnight of the day on which it begins; the second may lie on the next day."""
Stretch: TypeAlias = tuple[datetime, datetime]
"""From and to, half open, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingHours:
    """When a site receives; made by `receiving_hours`."""

    zone: ZoneInfo
    week: Mapping[int, Sequence[Span]]
    """The spans that begin on each day of the week, Monday being 0, sorted."""
    closed_dates: frozenset[date] = frozenset()
    always: bool = False

    def is_open(self, at: datetime) -> bool:
        """Tell whether the site receives at an instant."""
        return self.always or self._next(at, at) is not None

    def opens(self, at: datetime) -> datetime | None:
        """Give the first instant from `at` on at which the site receives, in UTC; None where it does not reopen."""
        at = at.astimezone(UTC)
        if self.always:
            return at
        found = self._next(at, _later(at, LOOK_AHEAD))
        return None if found is None else max(found[0], at)

    def closes(self, at: datetime) -> datetime | None:
        """Give the instant at which a site that receives at `at` stops, in UTC; None where it is closed, or never stops."""
        found = None if self.always else self._next(at, at)
        if found is None or found[1].astimezone(self.zone).date() >= self._horizon(at):
            return None
        return found[1]

    def _next(self, at: datetime, until: datetime) -> Stretch | None:
        """Give the first stretch that ends after `at`, if it begins by `until`."""
        for starts, ends in _joined(self._stretches(at)):
            if starts > until:
                return None
            if ends > at:
                return starts, ends
        return None

    def _stretches(self, at: datetime) -> Iterator[Stretch]:
        """Give what is open around and after an instant, sorted by beginning; it may touch and overlap."""
        # The day before may reach into this one, and a zone once skipped a day.
        day, last = at.astimezone(self.zone).date() - 2 * _DAY, self._horizon(at)
        while day <= last:
            for span in () if day in self.closed_dates else self.week.get(day.weekday(), ()):
                starts, ends = self._on(day, span)
                if starts < ends:
                    yield starts, ends
            day += _DAY

    def _horizon(self, at: datetime) -> date:
        """Give the last day to look at: weeks are alike once there is no closed date any more."""
        settled = max((at.date(), *self.closed_dates)).toordinal() + _WEEKS_ALIKE
        return date.fromordinal(min(settled, at.date().toordinal() + LOOK_AHEAD.days, _LAST_DAY.toordinal()))

    def _on(self, day: date, span: Span) -> Stretch:
        midnight = datetime.combine(day, time())
        until = _DAY if day + _DAY in self.closed_dates else 2 * _DAY
        return first_at(self.zone, midnight + span[0]), first_at(self.zone, midnight + min(span[1], until))


def receiving_hours(timezone: str, hours: Mapping[str, Any] | None) -> ReceivingHours:
    """Read a site's hours as the HTTP interface writes them; None is always open.

    Raises ValueError that says what is wrong and how to write it, and ZoneInfoNotFoundError for an unknown zone.
    """
    zone = ZoneInfo(timezone)
    if hours is None:
        return ReceivingHours(zone=zone, week={}, always=True)
    if unknown := sorted(hours.keys() - {*WEEKDAYS, "closed_dates"}):
        raise ValueError(
            f"has no {', '.join(map(repr, unknown))}: days are {', '.join(WEEKDAYS)}, beside closed_dates"
        )
    week = {
        number: sorted(_span(name, pair) for pair in hours[name])
        for number, name in enumerate(WEEKDAYS)
        if name in hours
    }
    if not any(week.values()):
        raise ValueError(
            "names no time at which the site receives: leave it out where it always does, "
            'or give each day ["00:00", "24:00"]'
        )
    closed = frozenset(date.fromisoformat(day) for day in hours.get("closed_dates", ()))
    round_the_clock = len(week) == 7 and all((timedelta(), _DAY) in spans for spans in week.values())
    return ReceivingHours(zone=zone, week=week, closed_dates=closed, always=round_the_clock and not closed)


def first_at(zone: ZoneInfo, wall: datetime) -> datetime:
    """Give the first instant, in UTC, at which a zone's wall clock has come to a time that is without zone.

    The time may be there twice, and then the first is meant, or be skipped, and then the clock comes to it by leaping.
    """
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    if early >= late:  # there once, or twice: fold 0 is the first
        return late
    while late - early > timedelta(seconds=1):  # zones leap on whole seconds, and so are both ends
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        early, late = (
            (early, middle) if middle.astimezone(zone).replace(tzinfo=None) >= wall else (middle, late)
        )
    return late


def _later(at: datetime, by: timedelta) -> datetime:
    return at + min(by, datetime.max.replace(tzinfo=UTC) - at)


def _joined(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Join what touches or overlaps, of stretches sorted by their beginning."""
    current: Stretch | None = None
    for starts, ends in stretches:
        if current is None:
            current = starts, ends
        elif starts <= current[1]:
            current = current[0], max(current[1], ends)
        else:
            yield current
            current = starts, ends
    if current is not None:
        yield current


def _span(day: str, pair: Any) -> Span:
    if not (isinstance(pair, list | tuple) and len(pair) == 2):
        raise ValueError(f'{day}: a span is a pair such as ["08:00", "17:00"]')
    starts, ends = (_since_midnight(day, clock) for clock in pair)
    if starts in {ends, _DAY}:
        raise ValueError(f'{day}: a span from {pair[0]} to {pair[1]} is empty; all day is ["00:00", "24:00"]')
    return starts, ends if ends > starts else ends + _DAY


def _since_midnight(day: str, clock: Any) -> timedelta:
    if not (isinstance(clock, str) and _CLOCK.fullmatch(clock)):
        raise ValueError(f"{day}: write times as HH:MM, from 00:00 to 24:00, such as 08:00")
    hours, minutes = clock.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))
