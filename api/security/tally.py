"""Pure: what comes often is told at once and then counted, so that a flood of refusals is no flood of records."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from api.security.events import SecurityEvent

WINDOW = timedelta(minutes=1)
ORIGINS_AT_MOST = 2000
"""Origins that are told apart within a window; the rest are counted as one."""
VALUES_AT_MOST: Final = 20
"""Of each field, so many values are counted apart within a row; the rest are counted as one."""
_OTHERS = "others"
_FIELDS: Final = ("actor", "key_prefix", "address", "call", "subject")
"""What may differ among those that are counted together."""


@dataclass(slots=True)
class _Counted:
    """Those after the first ones: what they have in common, and how often they have what they do not."""

    like: SecurityEvent
    count: int = 0
    last_at: datetime | None = None
    values: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in _FIELDS})

    def add(self, event: SecurityEvent) -> None:
        self.count += 1
        self.last_at = event.at
        for name, seen in self.values.items():
            value = str(getattr(event, name) or "none")
            if value not in seen and len(seen) >= VALUES_AT_MOST:
                value = _OTHERS
            seen[value] = seen.get(value, 0) + 1

    def event(self) -> SecurityEvent:
        """Return one for all of them: it says itself what all have, and in its details what they differ in."""
        differ: dict[str, Mapping[str, int]] = {
            name: seen for name, seen in self.values.items() if len(seen) > 1
        }
        unsaid: dict[str, Any] = dict.fromkeys(differ)
        return replace(
            self.like,
            **unsaid,
            count=self.count,
            last_at=self.last_at,
            details={"counted": differ} if differ else None,
        )


@dataclass(slots=True)
class _Window:
    began: datetime
    told: int
    counted: _Counted | None = None


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
            event = replace(event, actor=None, key_prefix=None, address=None, call=None, subject=None)
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(began=event.at, told=1)
            return event
        if window.told < at_once:
            window.told += 1
            return event
        if window.counted is None:
            window.counted = _Counted(like=event)
        window.counted.add(event)
        return None

    def take_due(self, now: datetime, *, all_: bool = False) -> list[SecurityEvent]:
        """Return what was counted in the minutes that are over, or in all; they begin anew."""
        over = [key for key, window in self._windows.items() if all_ or now - window.began >= WINDOW]
        ended = [self._windows.pop(key) for key in over]
        return [window.counted.event() for window in ended if window.counted is not None]
