"""Idle connections to endpoints: few, kept briefly, never old."""

import time
from collections import OrderedDict, defaultdict
from typing import Final, TypeAlias

from alerts.outbound.connection import Connection

IDLE_S: Final = 4.0
"""Shorter than servers commonly keep idle connections, so that we close first."""
OLDEST_S: Final = 60.0
"""Older connections are not reused: name, addresses and certificate are checked anew."""
MOST: Final = 512
"""Together with the requests under way, below the usual limit of 1,024 open files."""

Place: TypeAlias = tuple[str, int, bool, str | None]
"""Host, port, whether it is encrypted, and the organization if it reaches more than others: what a connection was checked
and made for."""


class Kept:
    """Connections by endpoint; the last used is taken first, so that surplus ones grow old."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[Place, OrderedDict[Connection, None]] = defaultdict(OrderedDict)
        self._all: OrderedDict[Connection, Place] = OrderedDict()
        """Both ordered by last use."""

    def __len__(self) -> int:
        return len(self._all)

    def take(self, place: Place) -> Connection | None:
        """Take out a connection that may be used."""
        there = self._of.get(place)
        while there:
            connection = next(reversed(there))
            self._forget(connection)
            if connection.reusable and time.monotonic() - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        return None

    def put(self, place: Place, connection: Connection) -> None:
        """Keep a connection whose answer was read in full; close it if it is old or unusable."""
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
        """Close connections that were idle for too long."""
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
