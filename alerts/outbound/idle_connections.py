"""The connections to endpoints that wait for their next request: few, not for long, and none that is old."""

import time
from collections import OrderedDict, defaultdict
from typing import Final, TypeAlias

from alerts.outbound.connection import Connection

IDLE_S: Final = 4.0
"""Below what servers commonly keep an idle connection for, so that it is we who close it."""
OLDEST_S: Final = 60.0
"""A connection that is older is not used again: name, addresses and certificate are looked at anew."""
MOST: Final = 512
"""With the requests under way, below the 1,024 files that a process may commonly have open."""

Place: TypeAlias = tuple[str, int, bool]
"""Host, port, and whether it is encrypted: what a connection was checked and made for."""


class Kept:
    """Connections by the place that they lead to; the one used last is taken first, so that those not needed grow old."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[Place, OrderedDict[Connection, None]] = defaultdict(OrderedDict)
        self._all: OrderedDict[Connection, Place] = OrderedDict()
        """Both in the order of their last use."""

    def __len__(self) -> int:
        return len(self._all)

    def take(self, place: Place) -> Connection | None:
        """Return a connection that may be used, and keep it no longer."""
        there = self._of.get(place)
        while there:
            connection = next(reversed(there))
            self._forget(connection)
            if connection.reusable and time.monotonic() - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        return None

    def put(self, place: Place, connection: Connection) -> None:
        """Keep a connection whose answer has been read whole, or close it where it is old or of no use."""
        now = time.monotonic()
        if not connection.reusable or now - connection.opened_at > OLDEST_S:
            connection.close()
            return
        connection.idle_since = now
        self._of[place][connection] = None
        self._all[connection] = place
        if len(self._all) > self._most:
            self._close_oldest()

    def close_idle(self) -> None:
        """Close what has waited for too long."""
        since = time.monotonic() - IDLE_S
        while self._all and next(iter(self._all)).idle_since < since:
            self._close_oldest()
        for connection in [one for one in self._all if not one.reusable]:
            self._forget(connection)

    def close(self) -> None:
        """Close all of them."""
        while self._all:
            self._close_oldest()

    def _close_oldest(self) -> None:
        connection = next(iter(self._all))
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        place = self._all.pop(connection)
        there = self._of[place]
        del there[connection]
        if not there:
            del self._of[place]
