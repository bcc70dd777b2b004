"""Retry database work until it succeeds, and tell faults of the database from faults in the data."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from time import monotonic
from typing import TypeVar

import asyncpg
import structlog

from telemetry import metrics

log = structlog.get_logger(__name__)

T = TypeVar("T")

TRANSACTION_TIMEOUT_S = 60.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.05, 5.0

DATA_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""Faults in the data: retrying does not help, and the rest of the batch must not wait for it."""


class VanishedReadingError(Exception):
    """A stored reading was deleted while a repetition of it was stored: the repetition is neither new nor a duplicate."""


DATABASE_FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg raises it for a connection that broke at an unlucky moment
    OSError,
    TimeoutError,
    VanishedReadingError,
)
"""Every other fault of a database: nothing is acknowledged until it has passed."""


class LoggersLockedError(Exception):
    """Somebody else holds locks that some loggers of a batch need; nothing of it is stored, and the others need not wait."""

    def __init__(self, device_ids: Collection[str]) -> None:
        super().__init__(f"{len(device_ids)} loggers are locked")
        self.device_ids = frozenset(device_ids)


class StorageUnavailableError(Exception):
    """The database did not answer in time; nothing is known to be stored, and sending again is safe."""


class ClocksDifferError(StorageUnavailableError):
    """It is not known whether a reading lies ahead, as our clock may be wrong; nothing is stored, and sending again is safe."""


async def retry(
    work: Callable[[], Awaitable[T]],
    timeout_s: float | None,
    on_failure: Callable[[Exception], Awaitable[None]] | None = None,
) -> T:
    """Repeat the work until the database accepts it, with a growing pause between attempts.

    Raises DATA_ERRORS at once, StorageUnavailableError after `timeout_s` seconds, unless that is None, and whatever
    `on_failure` raises about the error of an attempt.
    """
    started, backoff_s = monotonic(), _FIRST_BACKOFF_S
    while True:
        try:
            async with asyncio.timeout(timeout_s or TRANSACTION_TIMEOUT_S):
                return await work()
        except DATA_ERRORS:
            raise
        except DATABASE_FAULTS as error:
            if timeout_s is not None and monotonic() - started + backoff_s > timeout_s:
                raise StorageUnavailableError("the database did not answer in time") from error
            log.warning("storing_failed", error=str(error) or repr(error), retry_in_s=backoff_s)
            metrics.RETRIES.labels(type(error).__name__).inc()
            failure = error
        if on_failure is not None:
            await on_failure(failure)
        await asyncio.sleep(backoff_s)
        backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
