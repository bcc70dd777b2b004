"""Pure: what a correction of a logger's clock says, which readings it is about, and when they were measured by it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from telemetry.timekeeping.faults import in_milliseconds


class OfWhich(StrEnum):
    """Which readings of its stretch a correction is about."""

    ALL = "all"
    REFUSED = "refused"
    """Those that were refused for their time, or for another reading of that time."""
    STORED = "stored"
    """Those that were stored with the wrong time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCorrection:
    """By how much a logger's clock was wrong, and of which stretch of its readings that is said."""

    device_id: str
    offset: timedelta | None
    """What is added to its times; None: they are seconds since 1970 that were read as milliseconds."""
    measured_from: datetime
    """The stretch, by the logger's clock as it was sent; half open."""
    measured_until: datetime
    received_from: datetime | None = None
    """Only what was received then; None: whenever."""
    received_until: datetime | None = None
    of_which: OfWhich = OfWhich.ALL

    def covers(self, sent_at: datetime, received_at: datetime) -> bool:
        """Return whether it is about a reading with this time that was received then."""
        return (
            self.measured_from <= sent_at < self.measured_until
            and (self.received_from is None or self.received_from <= received_at)
            and (self.received_until is None or received_at < self.received_until)
        )

    def corrected(self, sent_at: datetime) -> datetime:
        """Return when a reading was measured. Raises OverflowError where no calendar has that time."""
        return in_milliseconds(sent_at) if self.offset is None else sent_at + self.offset
