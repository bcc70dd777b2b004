"""Groups database errors by what to do about them, and describes an error in one line."""

import traceback
from typing import Final

import asyncpg

TRY_AGAIN: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised by asyncpg if a connection breaks at an unlucky moment
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, start, a statement that took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that has not taken over yet
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.IdleInTransactionSessionTimeoutError,  # we were too slow
    asyncpg.LockNotAvailableError,
)
"""Temporary errors: the database is away or busy, and the same work may succeed later."""

REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""Errors caused by a statement's values: a retry would fail again."""


def describe_error(error: BaseException) -> str:
    """Return an error in one line, as it is stored: `ValueError: no sense in it`."""
    return "".join(traceback.format_exception_only(error)).strip()
