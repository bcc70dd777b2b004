"""The errors of the database by what they call for, and an error in one line."""

import traceback
from typing import Final

import asyncpg

TRY_AGAIN: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that broke at an unlucky moment
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, start, a statement that took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is about to take over
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.IdleInTransactionSessionTimeoutError,  # we were too slow
)
"""What passes: the database is away or busy, and the same work may succeed later."""

REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""What a statement refuses because of the values in it: the same again would fail again."""


def describe_error(error: BaseException) -> str:
    """Describe an error in one line, as it is stored: `ValueError: no sense in it`."""
    return "".join(traceback.format_exception_only(error)).strip()
