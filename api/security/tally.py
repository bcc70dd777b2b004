"""Pure: what comes often is told at once and then counted, so that a flood of refusals is no flood of records."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.security.events import SecurityEvent

WINDOW = timedelta(minutes=1)
ORIGINS_AT_MOST = 2000
"""Origins that are told apart within a window; the rest are counted as one."""
_OTHERS = "others"


@dataclass(slots=True)
class _Window:
    began: datetime
    told: int
    like: SecurityEvent
    more: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


class Tally:
    """Decides which events are told at once, and counts the others by origin and minute."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, _Window] = {}

    def add(self, event: SecurityEvent, origin: Hashable, *, at_once: int = 1) -> SecurityEvent | None:
        """Return the event if it is to be told now: one of the first `at_once` of its origin within the minute.

        Every other is counted, and told by `take_due`.
        """
        key: Hashable = (event.type, event.status, origin)
        if key not in self._windows and len(self._windows) >= ORIGINS_AT_MOST:
            key = (event.type, event.status, _OTHERS)
            event = replace(event, actor=None, key_prefix=None, address=None, call=None)
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(began=event.at, told=1, like=event)
            return event
        if window.told < at_once:
            window.told += 1
            return event
        if window.like.call != event.call:
            window.like = replace(window.like, call=None)
        if window.like.address != event.address:
            window.like = replace(window.like, address=None)
        window.more += 1
        window.first_at = window.first_at or event.at
        window.last_at = event.at
        return None

    def take_due(self, now: datetime, *, all_: bool = False) -> list[SecurityEvent]:
        """Return what was counted in the minutes that are over, or in all; they begin anew."""
        over = [key for key, window in self._windows.items() if all_ or now - window.began >= WINDOW]
        ended = [self._windows.pop(key) for key in over]
        return [
            replace(window.like, at=window.first_at, last_at=window.last_at, count=window.more)
            for window in ended
            if window.first_at is not None
        ]
