import asyncpg
import pytest

from alerts.work.errors import REFUSED, TRY_AGAIN, describe_error


def test_an_error_is_described_in_one_line() -> None:
    assert describe_error(ValueError("no sense in it")) == "ValueError: no sense in it"
    assert describe_error(ZeroDivisionError()) == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("error", "passes", "refused"),
    [
        (ConnectionResetError(), True, False),
        (TimeoutError(), True, False),
        (asyncpg.ConnectionDoesNotExistError(), True, False),
        (asyncpg.AdminShutdownError(), True, False),
        (asyncpg.DeadlockDetectedError(), True, False),
        (asyncpg.QueryCanceledError(), True, False),
        (asyncpg.UniqueViolationError(), False, True),
        (asyncpg.NumericValueOutOfRangeError(), False, True),
        (asyncpg.UndefinedColumnError(), False, False),
        (ValueError(), False, False),
    ],
)
def test_an_error_passes_or_is_about_the_values_or_is_ours(
    error: Exception, passes: bool, refused: bool
) -> None:
    assert (isinstance(error, TRY_AGAIN), isinstance(error, REFUSED)) == (passes, refused)
