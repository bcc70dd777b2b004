"""When people say that something happened."""

from datetime import UTC, datetime, timedelta

import pytest

from api.refusals import Invalid
from api.use_cases.moments import AHEAD_AT_MOST, moment, not_ahead

NOW = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)


def test_without_a_time_it_happens_now() -> None:
    assert moment(None, NOW) == NOW
    assert moment(NOW - timedelta(days=9), NOW) == NOW - timedelta(days=9)


def test_clocks_may_differ_and_nobody_tells_the_future() -> None:
    not_ahead("at", NOW + AHEAD_AT_MOST, NOW)
    with pytest.raises(Invalid, match=r"^departed_at lies more than 5 minutes ahead: "):
        not_ahead("departed_at", NOW + AHEAD_AT_MOST + timedelta(microseconds=1), NOW)
