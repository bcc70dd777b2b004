"""Pure: the loggers of a fleet, each made shortly before it is switched on."""

from simulators.fleet.fleet import Fleet
from simulators.fleet.logger import Logger
from simulators.journeys.journey import pack_away, solve_together

# How many loggers are made at once. That takes about 50 ms; messages go out in between.
MADE_AT_ONCE = 256
# Loggers are made this long before they are switched on, so that many journeys are solved together.
MADE_BEFORE_MS = 5000


class Roster:
    """The loggers of a fleet, in the order in which they are first switched on.

    They are made shortly before that, so a large fleet starts at once. Times are epoch milliseconds.
    """

    def __init__(
        self, fleet: Fleet, from_ms: int, until_ms: int | None = None, *, ack_timeout_s: float = 10.0
    ) -> None:
        self._fleet = fleet
        self._from_ms = from_ms
        self._until_ms = until_ms
        self._ack_timeout_s = ack_timeout_s
        begins = sorted((fleet.begins_ms(index), index) for index in range(fleet.size))
        # Loggers that would begin after the end are never switched on.
        self._coming = [(at_ms, index) for at_ms, index in begins if until_ms is None or at_ms <= until_ms]
        self._made = 0

    @property
    def size(self) -> int:
        """Return the size of the fleet."""
        return self._fleet.size

    @property
    def complete(self) -> bool:
        """Whether every logger that will ever be switched on has been made."""
        return self._made == len(self._coming)

    @property
    def due_ms(self) -> int | None:
        """Return when the next loggers are to be made; None for never."""
        return None if self.complete else self._coming[self._made][0] - MADE_BEFORE_MS

    def make(self, now_ms: int) -> list[tuple[int, Logger]]:
        """Make some of the loggers that are due, and return each with the time at which it is switched on."""
        some = []
        for at_ms, index in self._coming[self._made : self._made + MADE_AT_ONCE]:
            if at_ms - MADE_BEFORE_MS > now_ms:
                break
            logger = Logger(
                self._fleet, index, self._from_ms, self._until_ms, ack_timeout_s=self._ack_timeout_s
            )
            some.append((at_ms, logger))
        self._made += len(some)
        journeys = [logger.coming for _, logger in some if logger.coming is not None]
        solve_together(journeys)
        for journey in journeys:
            pack_away(journey)
        return some
