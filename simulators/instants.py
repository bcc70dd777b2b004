"""Pure: instants as epoch milliseconds and as RFC 3339 text."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def moment(epoch_ms: int) -> datetime:
    """Return the instant, in UTC, of a number of epoch milliseconds."""
    return EPOCH + epoch_ms * MILLISECOND


def milliseconds(instant: datetime) -> int:
    """Return the epoch milliseconds of an instant, rounded down."""
    return (instant - EPOCH) // MILLISECOND


def rfc3339(instant: datetime) -> str:
    """Return an instant as text, in UTC and with milliseconds: `2026-11-21T03:45:00.000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
