"""A flood is told at once, and then by its number: by origin and minute."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.security import tally
from api.security.events import SecurityEvent, SecurityEventType
from api.security.log import network_of
from api.security.tally import Tally

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def refused(second: float, call: str = "GET /v1/alerts", **more: str) -> SecurityEvent:
    at = NOW + timedelta(seconds=second)
    return SecurityEvent(type=SecurityEventType.REFUSED, at=at, status=403, call=call, **more)


def test_the_first_is_told_at_once_and_the_others_are_counted() -> None:
    counted = Tally()
    assert counted.add(refused(0), "dw_1") == refused(0)
    assert [counted.add(refused(second), "dw_1") for second in (1, 2, 59)] == [None] * 3
    assert counted.take_due(NOW + timedelta(seconds=59)) == []
    (more,) = counted.take_due(NOW + timedelta(seconds=60))
    assert (more.count, more.at, more.last_at) == (3, refused(1).at, refused(59).at)
    assert more.call == "GET /v1/alerts"
    assert counted.add(refused(61), "dw_1") == refused(61)


def test_a_minute_without_more_leaves_nothing() -> None:
    counted = Tally()
    counted.add(refused(0), "dw_1")
    assert counted.take_due(NOW + timedelta(seconds=60)) == []


def test_what_differs_is_not_said_of_all() -> None:
    counted = Tally()
    for second, call in enumerate(("a", "a", "b", "b")):
        counted.add(refused(second, call, address=call, subject="alert:1"), "dw_1")
    (more,) = counted.take_due(NOW, all_=True)
    assert (more.call, more.address, more.subject, more.count) == (None, None, "alert:1", 3)
    assert more.details == {"counted": {"address": {"a": 1, "b": 2}, "call": {"a": 1, "b": 2}}}


def test_one_that_is_counted_alone_says_all_of_itself() -> None:
    counted = Tally()
    counted.add(refused(0, "a", subject="alert:1"), "dw_1")
    second = refused(1, "b", subject="alert:2")
    counted.add(second, "dw_1")
    (more,) = counted.take_due(NOW, all_=True)
    assert more == replace(second, last_at=second.at)


def test_what_is_counted_apart_is_bounded() -> None:
    counted = Tally()
    for number in range(100):
        counted.add(refused(number / 10, subject=f"alert:{number}"), "dw_1")
    (more,) = counted.take_due(NOW, all_=True)
    assert more.details is not None
    subjects = more.details["counted"]["subject"]
    assert len(subjects) == tally.VALUES_AT_MOST + 1
    assert subjects["others"] == 99 - tally.VALUES_AT_MOST


def test_origins_are_told_apart_and_some_are_told_more_of() -> None:
    counted = Tally()
    assert counted.add(refused(0), "dw_1")
    assert counted.add(refused(0), "dw_2")
    told = [counted.add(refused(second), "dw_3", at_once=3) is not None for second in range(5)]
    assert told == [True, True, True, False, False]


def test_memory_is_bounded_and_nothing_is_lost() -> None:
    counted = Tally()

    def flood() -> Iterator[SecurityEvent]:
        for number in range(3 * tally.ORIGINS_AT_MOST):
            if told := counted.add(refused(0, address=str(number)), number):
                yield told

    told = list(flood())
    assert len(told) == tally.ORIGINS_AT_MOST + 1
    assert told[-1].address is None
    (others,) = counted.take_due(NOW, all_=True)
    assert len(told) + others.count == 3 * tally.ORIGINS_AT_MOST


def test_who_has_a_network_of_ipv6_to_themselves_is_one_origin() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") != network_of("::ffff:192.0.2.2")
    assert network_of(None) is None
    assert network_of("testclient") == "testclient"
