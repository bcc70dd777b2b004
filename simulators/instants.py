"""Pure: instants as epoch milliseconds, and as RFC 3339 text."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def moment(epoch_ms: int) -> datetime:
    return EPOCH + epoch_ms * MILLISECOND


def milliseconds(instant: datetime) -> int:
    return (instant - EPOCH) // MILLISECOND


def rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
