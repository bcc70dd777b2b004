"""What is kept of refused messages: little of each, so much of each origin and reason, and every one counted."""

import gzip
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.ingest.evidence import (
    UNREGISTERED,
    Evidence,
    EvidenceLimits,
    QuotaKey,
    Refused,
    Spent,
    choose,
    count_refused,
    quota_key,
)
from telemetry.model import RawMessage, Refusal, RefusalReason, Source

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
LIMITS = EvidenceLimits()


def message(payload: bytes, origin: str = "dw_1", source: Source = Source.HTTP) -> RawMessage:
    return RawMessage(source, origin, payload, NOW)


def refusal(index: int | None = None, reason: RefusalReason = RefusalReason.NOT_JSON, **more: Any) -> Refusal:
    return Refusal(reason=reason, detail="no", index=index, **more)


def kept(refused: Refused, limits: EvidenceLimits = LIMITS, **spent: int) -> Evidence:
    already = Spent(1, 0, 0, 0, 0, 0)._replace(**spent)
    return choose(refused, dict.fromkeys(count_refused(refused), already), limits)


def test_a_few_kb_with_the_length_and_the_hash_of_the_whole() -> None:
    payload = b"x" * 1_000_000
    (stored,) = kept([(message(payload), [refusal()])]).messages
    assert stored.payload == payload[:4096]
    assert (stored.size, stored.sha256) == (1_000_000, hashlib.sha256(payload).digest())


def test_a_short_message_is_kept_whole_and_its_readings_are_not_repeated() -> None:
    payload = json.dumps([{"temperature_c": "x"}]).encode()
    evidence = kept([(message(payload), [refusal(0)])])
    assert evidence.messages[0].payload == payload
    assert (evidence.refusals[0].reading, evidence.cut) == (None, 0)


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"readings": items}])
def test_a_refused_reading_of_a_long_message_is_kept_itself(wrap: Any) -> None:
    items = [{"seq": n, "note": "x" * 100} for n in range(1000)]
    payload = json.dumps(wrap(items)).encode()
    evidence = kept([(message(payload), [refusal(999, RefusalReason.CONFLICT)])])
    assert json.loads(evidence.refusals[0].reading or "") == items[999]
    assert evidence.cut == 1


def test_a_refused_reading_of_a_packed_message_is_kept_itself() -> None:
    payload = gzip.compress(json.dumps([{"seq": 1}, {"temperature_c": "x"}]).encode())
    evidence = kept([(message(payload), [refusal(1)])])
    assert evidence.messages[0].payload == payload
    assert (evidence.refusals[0].reading, evidence.cut) == ('{"temperature_c":"x"}', 0)


def test_what_cannot_be_repeated_costs_nothing_else() -> None:
    deep = b"[" * 900 + b"]" * 900
    payload = b'[{"a":' + deep + b"}," + b" " * 5000 + b'{"b":"\\ud800\\u0000"}]'
    evidence = kept([(message(payload), [refusal(0), refusal(1), refusal(7)])])
    assert len(evidence.refusals) == 3
    assert evidence.refusals[1].reading == '{"b":"\\ud800\\u0000"}'
    assert evidence.refusals[2].reading is None


def test_what_is_over_the_quota_is_counted_and_told_once() -> None:
    refused = [(message(b"{" * 100), [refusal()]) for _ in range(10)]
    evidence = kept(refused, replace(LIMITS, per_hour=3))
    (change,) = evidence.changes.values()
    assert len(evidence.messages) == 3
    assert (change.kept, change.not_kept, change.not_kept_bytes) == (3, 7, 700)
    assert (change.first_at, change.last_at) == (NOW, NOW)
    (row,) = [one for one in evidence.refusals if one.message is None]
    assert (row.quota_id, row.reason) == (1, "not_json")
    assert len(evidence.exceeded) == 1
    again = kept(refused, replace(LIMITS, per_hour=3), hour_kept=3, kept=3, not_kept=7)
    assert (again.messages, again.refusals, again.exceeded) == ([], [], [])


@pytest.mark.parametrize(
    "spent", [{"hour_kept": 1000}, {"kept": 5000}, {"hour_bytes": 2**20}, {"bytes": 2**22}]
)
def test_each_limit_holds(spent: dict[str, int]) -> None:
    assert kept([(message(b"{"), [refusal()])], **spent).messages == []


def test_each_origin_and_reason_has_a_quota_of_its_own() -> None:
    readings = "dewar/v1/LOG-1/readings"
    cases = [
        (message(b"{"), refusal(), ("http", "dw_1", "not_json")),
        (message(b"{", readings, Source.MQTT), refusal(), ("mqtt", "LOG-1", "not_json")),
        (
            message(b"{", readings, Source.MQTT),
            refusal(reason=RefusalReason.CONFLICT),
            ("mqtt", "LOG-1", "conflict"),
        ),
        (
            message(b"{", "dewar/v1/made-up/readings", Source.MQTT),
            refusal(reason=RefusalReason.UNKNOWN_DEVICE),
            ("mqtt", UNREGISTERED, "unknown_device"),
        ),
        (
            message(b"{"),
            refusal(reason=RefusalReason.UNKNOWN_DEVICE, device_id="LOG-1"),
            ("http", "dw_1", "unknown_device"),
        ),
    ]
    for sent, why, expected in cases:
        assert quota_key(sent, why) == (*expected, NOW.date())


def test_garbage_does_not_displace_the_conflicts_of_a_logger() -> None:
    garbage = [(message(b"{" * 9000), [refusal()])] * 5000
    conflict = (
        message(b"[]", "dewar/v1/LOG-1/readings", Source.MQTT),
        [refusal(reason=RefusalReason.CONFLICT)],
    )
    evidence = kept([*garbage, conflict])
    assert evidence.messages[-1].payload == b"[]"
    assert sum(len(one.payload) for one in evidence.messages) <= 2**20


REASONS = st.sampled_from([RefusalReason.NOT_JSON, RefusalReason.CONFLICT, RefusalReason.UNKNOWN_DEVICE])
MESSAGES = st.builds(
    lambda size, origin, at: RawMessage(Source.HTTP, origin, b"x" * size, NOW + timedelta(hours=at)),
    st.integers(0, 6000),
    st.sampled_from(["dw_1", "dw_2"]),
    st.integers(0, 30),
)


@given(
    st.lists(st.tuples(MESSAGES, st.lists(st.builds(refusal, reason=REASONS), min_size=1)), max_size=30),
    st.integers(1, 20),
    st.integers(1, 20_000),
)
def test_every_refusal_is_kept_or_counted_and_no_quota_is_exceeded(
    refused: Refused, per_hour: int, bytes_per_hour: int
) -> None:
    limits = replace(LIMITS, per_hour=per_hour, bytes_per_hour=bytes_per_hour)
    evidence = kept(refused, limits)
    arrived = count_refused(refused)
    assert list(arrived) == sorted(arrived)
    for key, counted in arrived.items():
        change = evidence.changes[key]
        assert change.kept + change.not_kept == counted.refused
        assert change.kept <= per_hour
        assert change.bytes <= bytes_per_hour
        assert (change.not_kept > 0) == (key in evidence.exceeded) == (change.first_at is not None)
    rows = [one for one in evidence.refusals if one.message is not None]
    assert len(rows) == sum(change.kept for change in evidence.changes.values())
    assert {one.message for one in rows} == set(range(len(evidence.messages)))


def test_keys_sort_by_all_that_they_are() -> None:
    one, other = [QuotaKey("http", "a", "conflict", NOW.date() + timedelta(days=n)) for n in range(2)]
    assert sorted([other, one]) == [one, other]
