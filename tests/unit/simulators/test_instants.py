"""Instants as epoch milliseconds and as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulators.instants import milliseconds, moment, rfc3339


@pytest.mark.parametrize("epoch_ms", [0, 1, 1_772_352_000_001, 1_772_352_000_999, 4_102_444_799_123])
def test_milliseconds_survive_the_way_to_text_and_back(epoch_ms):
    text = rfc3339(moment(epoch_ms))
    assert text.endswith("Z")
    assert milliseconds(datetime.fromisoformat(text)) == epoch_ms


def test_times_of_other_zones_are_written_in_utc():
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=9)))
    assert rfc3339(noon) == "2026-03-01T03:00:00.000Z"
    assert moment(milliseconds(noon)) == datetime(2026, 3, 1, 3, tzinfo=UTC)
