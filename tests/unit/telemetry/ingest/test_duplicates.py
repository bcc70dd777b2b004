"""Duplicates and conflicts."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.duplicates import check_duplicates, find_conflict
from telemetry.model import Reading, RefusalReason

AT = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
SENT = Reading("LOG-1", AT, -178.25, seq=7, boot=2, battery_pct=81, extra={"firmware": "1.2", "serial": 5})
STORED = SENT._replace(battery_pct=81.0, extra='{"serial": 5, "firmware": "1.2"}')


def test_the_same_again_is_no_conflict():
    assert find_conflict(SENT, STORED) is None


@pytest.mark.parametrize(
    "fewer", [{"battery_pct": None}, {"seq": None, "boot": None}, {"extra": None}, {"extra": {"serial": 5}}]
)
def test_what_is_not_sent_this_time_is_no_difference(fewer):
    assert find_conflict(SENT._replace(**fewer), STORED) is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"temperature_c": -20}, "temperature_c is -20 but -178.25 is stored"),
        ({"probe_ok": False}, "probe_ok is false but true is stored"),
        ({"seq": 8}, "seq is 8 but 7 is stored"),
        ({"ambient_c": 20}, "ambient_c is 20 but nothing is stored"),
        (
            {"flight_mode_until": AT + timedelta(hours=1)},
            "flight_mode_until is 2026-11-21T04:45:00Z but nothing is stored",
        ),
        ({"extra": {"firmware": "1.3"}}, '"firmware" differs from what is stored'),
        ({"extra": {"colour": None}}, '"colour" differs from what is stored'),
    ],
)
def test_another_value_is_a_conflict_that_says_both(other, said):
    refusal = find_conflict(SENT._replace(**other), STORED)
    assert refusal is not None
    assert refusal.reason is RefusalReason.CONFLICT
    assert refusal.detail == f"at 2026-11-21T03:45:00Z, {said}: the reading stored first is kept"
    assert (refusal.device_id, refusal.boot) == ("LOG-1", 2)


def test_many_differences_are_cut_short():
    other = SENT._replace(temperature_c=1, seq=1, boot=1, lat=1, lon=1, ambient_c=1, battery_pct=1)
    refusal = find_conflict(other, STORED)
    assert refusal is not None
    assert refusal.detail.count("is stored") == 5
    assert "; and 2 more:" in refusal.detail


def test_numbers_are_compared_as_they_are_stored():
    assert find_conflict(SENT._replace(ambient_c=2**53 + 1), STORED._replace(ambient_c=float(2**53))) is None
    stored = STORED._replace(extra='{"a": 1' + "0" * 300 + ', "b": 1.0, "c": 18446744073709551617}')
    assert find_conflict(SENT._replace(extra={"a": 1e300, "b": 1, "c": 2**64 + 1}), stored) is None
    assert find_conflict(SENT._replace(extra={"c": 2**64}), stored) is not None


def test_the_first_of_a_message_wins_where_nothing_is_stored():
    other = SENT._replace(temperature_c=5.0)
    found = check_duplicates([SENT, SENT, other], [0, 1, 2], {})
    assert (found.accepted, found.duplicates) == (1, 1)
    assert [conflict.index for conflict in found.conflicts] == [2]


def test_what_is_stored_wins_over_the_first_of_a_message():
    other = SENT._replace(temperature_c=5.0)
    found = check_duplicates([other, SENT], [0, 1], {("LOG-1", AT): STORED})
    assert (found.accepted, found.duplicates) == (0, 1)
    assert [conflict.index for conflict in found.conflicts] == [0]
