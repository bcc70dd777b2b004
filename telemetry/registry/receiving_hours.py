"""Pure: receiving hours of a site: whether it is open at an instant, and when that changes, by local time.

A span such as 08:00 to 17:00 is open from the first instant at which the local clock has reached its start until the
first at which it has reached its end. So a span never opens twice when clocks are set back, and where they are set
forward over its start, it starts with the jump. A span that ends at or before its start, such as 22:00 to 06:00, ends
on the next day. No span starts on a closed date, and one that started on the evening before ends at midnight.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD = timedelta(days=2 * 366)
"""A change that is further away than two years is reported as none."""

_DAY = timedelta(days=1)
_REPEATING_DAYS = 15  # a whole week, even if a clock change swallows one of its spans
_LAST_DAY = date(9999, 12, 28)  # the end of the calendar, with room for a span and a zone
_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)

DaySpan: TypeAlias = tuple[timedelta, timedelta]
"""Start and end, since midnight of the day on which the span starts; the end may be on the next day."""
OpenPeriod: TypeAlias = tuple[datetime, datetime]
"""Start and end, half open, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingHours:
    """The times at which a site receives; create it with `parse_receiving_hours`."""

    zone: ZoneInfo
    week: Mapping[int, Sequence[DaySpan]]
    """The spans that start on each day of the week, Monday being 0, sorted."""
    closed_dates: frozenset[date] = frozenset()
    always: bool = False

    def is_open(self, at: datetime) -> bool:
        """Return whether the site receives at an instant."""
        return self.always or self._next(at, at) is not None

    def opens(self, at: datetime) -> datetime | None:
        """Return the first instant from `at` on at which the site receives, in UTC; None if it does not reopen."""
        at = at.astimezone(UTC)
        if self.always:
            return at
        found = self._next(at, _add(at, LOOK_AHEAD))
        return None if found is None else max(found[0], at)

    def closes(self, at: datetime) -> datetime | None:
        """Return when a site that is open at `at` closes, in UTC; None if it is closed then, or never closes."""
        found = None if self.always else self._next(at, at)
        if found is None or found[1].astimezone(self.zone).date() >= self._horizon(at):
            return None
        return found[1]

    def _next(self, at: datetime, until: datetime) -> OpenPeriod | None:
        """Return the first open period that ends after `at`, if it starts by `until`."""
        for starts, ends in _join(self._periods(at)):
            if starts > until:
                return None
            if ends > at:
                return starts, ends
        return None

    def _periods(self, at: datetime) -> Iterator[OpenPeriod]:
        """Yield the open periods around and after an instant, sorted by start; they may touch and overlap."""
        # A span of the day before may reach into this one, and a zone once skipped a day.
        day, last = at.astimezone(self.zone).date() - 2 * _DAY, self._horizon(at)
        while day <= last:
            for span in () if day in self.closed_dates else self.week.get(day.weekday(), ()):
                starts, ends = self._on(day, span)
                if starts < ends:
                    yield starts, ends
            day += _DAY

    def _horizon(self, at: datetime) -> date:
        """Return the last day to look at: after the last closed date all weeks are alike."""
        settled = max((at.date(), *self.closed_dates)).toordinal() + _REPEATING_DAYS
        return date.fromordinal(min(settled, at.date().toordinal() + LOOK_AHEAD.days, _LAST_DAY.toordinal()))

    def _on(self, day: date, span: DaySpan) -> OpenPeriod:
        midnight = datetime.combine(day, time())
        until = _DAY if day + _DAY in self.closed_dates else 2 * _DAY
        return (
            first_instant_at(self.zone, midnight + span[0]),
            first_instant_at(self.zone, midnight + min(span[1], until)),
        )


def parse_receiving_hours(timezone: str, hours: Mapping[str, Any] | None) -> ReceivingHours:
    """Parse a site's hours in the form of the HTTP API; None means always open.

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
        number: sorted(_parse_span(name, pair) for pair in hours[name])
        for number, name in enumerate(WEEKDAYS)
        if name in hours
    }
    if not any(week.values()):
        raise ValueError(
            "names no time at which the site receives: leave it out if the site is always open, "
            'or give each day ["00:00", "24:00"]'
        )
    closed = frozenset(date.fromisoformat(day) for day in hours.get("closed_dates", ()))
    round_the_clock = len(week) == 7 and all((timedelta(), _DAY) in spans for spans in week.values())
    return ReceivingHours(zone=zone, week=week, closed_dates=closed, always=round_the_clock and not closed)


def first_instant_at(zone: ZoneInfo, local: datetime) -> datetime:
    """Return the first instant, in UTC, at which a zone's clock has reached a local time, given without a zone.

    If the time occurs twice, the first one counts; if it is skipped, the clock reaches it by the jump.
    """
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    if early >= late:  # it occurs once, or twice: fold 0 is the first
        return late
    while late - early > timedelta(seconds=1):  # zones jump on whole seconds, and so both ends are whole
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        early, late = (
            (early, middle) if middle.astimezone(zone).replace(tzinfo=None) >= local else (middle, late)
        )
    return late


def _add(at: datetime, by: timedelta) -> datetime:
    return at + min(by, datetime.max.replace(tzinfo=UTC) - at)


def _join(periods: Iterable[OpenPeriod]) -> Iterator[OpenPeriod]:
    """Join periods that touch or overlap; they are sorted by start."""
    current: OpenPeriod | None = None
    for starts, ends in periods:
        if current is None:
            current = starts, ends
        elif starts <= current[1]:
            current = current[0], max(current[1], ends)
        else:
            yield current
            current = starts, ends
    if current is not None:
        yield current


def _parse_span(day: str, pair: Any) -> DaySpan:
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
