"""Retry database work until it succeeds, and tell faults of the database from faults in the data."""

import asyncio
from collections.abc import Awaitable, Callable
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


class StorageUnavailableError(Exception):
    """The database did not answer in time; nothing is known to be stored, and sending again is safe."""


async def retry(work: Callable[[], Awaitable[T]], timeout_s: float | None) -> T:
    """Repeat the work until the database accepts it, with a growing pause between attempts.

    Raises DATA_ERRORS at once, and StorageUnavailableError after `timeout_s` seconds, unless that is None.
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
        await asyncio.sleep(backoff_s)
        backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
