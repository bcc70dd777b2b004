"""Readings whose time cannot be are refused, each with its fault; all others pass as they are."""

from datetime import UTC, datetime, timedelta

from telemetry.model import RawMessage, Reading, Refusal, RefusalReason, Source
from telemetry.timekeeping.judge_times import in_doubt, judge_times
from telemetry.timekeeping.possible_times import RECENT, LoggerHistory

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MESSAGE = RawMessage(Source.MQTT, "dewar/v1/D1/readings", b"", NOW)
HISTORIES = {"D1": LoggerHistory(NOW - timedelta(days=10))}


def reading(at: datetime, device_id: str = "D1") -> Reading:
    return Reading(device_id, at, 4.0, seq=7, boot=1)


def test_what_cannot_be_is_refused_with_its_number_fault_and_probable_time() -> None:
    good, bad = reading(NOW - timedelta(hours=3)), reading(NOW - timedelta(weeks=1024))
    other = Refusal(reason=RefusalReason.NOT_YOURS, detail="", device_id="D1")
    kept, refused, same = judge_times(MESSAGE, [good, bad, other], HISTORIES)
    assert kept is good
    assert same is other
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.boot, refused.seq) == (RefusalReason.CLOCK_BEHIND, 1, 7)
    assert (refused.fault, refused.sent_at, refused.true_at) == ("week_rollover", bad.measured_at, NOW)
    assert "probably measured 2026-11-30T12:00:00Z" in refused.detail


def test_only_old_readings_are_in_doubt_and_none_while_our_own_clock_is() -> None:
    old, new = reading(NOW - RECENT - timedelta(seconds=1)), reading(NOW - RECENT, "D2")
    assert in_doubt(MESSAGE, [old, new]) == {"D1"}
    assert in_doubt(MESSAGE._replace(clock_is_sure=False), [old]) == set()


def test_of_a_logger_that_nothing_is_known_of_nothing_is_refused() -> None:
    old = reading(NOW - timedelta(days=9000))
    assert judge_times(MESSAGE, [old], {}) == [old]
