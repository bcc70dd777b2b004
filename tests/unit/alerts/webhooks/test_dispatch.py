"""What follows from an attempt."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from alerts.outbound.post import Answer
from alerts.webhooks.dispatch import judge
from alerts.webhooks.queue import Claimed
from alerts.webhooks.schedule import SCHEDULE

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def claimed(tries: int = 0, failures: int = 0, failing_for_s: float = 0.0) -> Claimed:
    return Claimed(
        id=1, token=1, until=NOW, tries=tries, webhook_id=UUID(int=1), event_id="1-1", created_at=NOW, body="{}",
        url="https://partner.example/", failures=failures, failing_for_s=failing_for_s, secrets=(b"x",),
        organization=None,
    )  # fmt: skip


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    tried = judge(claimed(), NOW, Answer(seconds=0.1, status=status), SCHEDULE, 0.5)
    assert (tried.state, tried.delay_s, tried.hold_s) == ("delivered", None, None)


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 304, 400, 404, 410, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    tried = judge(claimed(), NOW, Answer(seconds=0.1, status=status), SCHEDULE, 0.5)
    assert (tried.state, tried.delay_s) == ("waiting", 5.0)


@pytest.mark.parametrize(
    ("status", "retry_after", "delay_s", "hold_s"),
    [
        (429, "120", 120, 120),
        (503, "120", 120, 120),
        (500, "120", 120, None),
        (429, "1", 5, 1),
        (429, None, 5, None),
    ],
)
def test_retry_after_delays_and_where_it_is_about_the_endpoint_all_of_it(
    status: int, retry_after: str | None, delay_s: float, hold_s: float | None
) -> None:
    tried = judge(claimed(), NOW, Answer(seconds=0.1, status=status, retry_after=retry_after), SCHEDULE, 0.5)
    assert (tried.delay_s, tried.hold_s) == (delay_s, hold_s)


def test_the_last_failure_exhausts() -> None:
    tried = judge(claimed(tries=len(SCHEDULE.delays_s) - 1), NOW, Answer(seconds=15.0), SCHEDULE, 0.5)
    assert (tried.state, tried.delay_s) == ("exhausted", None)


def test_an_endpoint_that_goes_on_failing_is_left_alone() -> None:
    assert (
        judge(claimed(failures=9, failing_for_s=100), NOW, Answer(seconds=15.0), SCHEDULE, 0.5).hold_s == 10
    )
