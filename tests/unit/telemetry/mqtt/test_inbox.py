"""The bounded inbox between the broker and the database."""

import asyncio
from datetime import UTC, datetime, timedelta

from telemetry.mqtt.inbox import (
    BACKLOG_MAX_FILL,
    BACKLOG_MAX_PAUSE,
    BACKLOG_MAX_WAIT,
    BATCH_BYTES,
    BATCH_MESSAGES,
    LARGE_BATCH_BYTES_BESIDE_LIVE,
    MAX_HELD_BYTES,
    MAX_HELD_MESSAGES,
    MAX_SMALL_BYTES,
    RESUME_BELOW,
    Inbox,
    Lane,
)
from telemetry.mqtt.packets import Publish

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Reader:
    """A connection as the inbox sees it: it can be paused and resumed."""

    reading = True

    def pause(self):
        self.reading = False

    def resume(self):
        self.reading = True


LARGE = b"x" * (MAX_SMALL_BYTES + 1)


def publishes(count, payload=b"{}", logger="LOG-1", first=1):
    topic = f"dewar/v1/{logger}/readings"
    return [Publish(topic, packet_id, payload) for packet_id in range(first, first + count)]


def ids(batch):
    return [delivery.packet_id for delivery in batch]


def drain(inbox):
    for lane in Lane:
        while batch := inbox.take(lane):
            inbox.complete(lane, batch)


def test_batches_come_in_the_order_of_receipt():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(BATCH_MESSAGES + 5), NOW)
    assert inbox.has_full_batch(Lane.SMALL)
    assert ids(inbox.take(Lane.SMALL)) == [*range(1, BATCH_MESSAGES + 1)]
    assert not inbox.has_full_batch(Lane.SMALL)
    assert ids(inbox.take(Lane.SMALL)) == [*range(BATCH_MESSAGES + 1, BATCH_MESSAGES + 6)]
    assert inbox.is_empty(Lane.SMALL)
    assert inbox.take(Lane.SMALL) == []


def test_a_batch_is_bounded_in_bytes_and_takes_at_least_one():
    inbox = Inbox()
    inbox.add(Reader(), publishes(3, b"x" * BATCH_BYTES), NOW)
    assert inbox.has_full_batch(Lane.LARGE)
    assert [len(inbox.take(Lane.LARGE)) for _ in range(4)] == [1, 1, 1, 0]


def test_too_many_messages_stop_the_reading_until_some_of_them_are_stored():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(MAX_HELD_MESSAGES), NOW)
    assert connection.reading
    inbox.add(connection, publishes(1), NOW)
    assert not connection.reading
    assert inbox.is_over_limit
    while inbox.messages > MAX_HELD_MESSAGES * RESUME_BELOW:
        assert not connection.reading
        inbox.complete(Lane.SMALL, inbox.take(Lane.SMALL))
    assert connection.reading
    assert not inbox.is_over_limit


def test_too_many_bytes_stop_the_reading():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(5, b"x" * (MAX_HELD_BYTES // 4)), NOW)
    assert not connection.reading
    drain(inbox)
    assert connection.reading
    assert (inbox.messages, inbox.bytes) == (0, 0)


def test_a_live_reading_does_not_wait_for_what_another_logger_brings_back_from_a_flight():
    inbox, connection = Inbox(), Reader()
    many = 3 * BATCH_BYTES // len(LARGE)
    inbox.add(connection, publishes(many, LARGE), NOW)
    assert not inbox.has_live_traffic
    inbox.add(connection, publishes(2, logger="LOG-2", first=many + 1), NOW)
    assert inbox.has_live_traffic
    beside_live = ids(inbox.take(Lane.LARGE))
    assert beside_live[0] == 1
    assert len(beside_live) * len(LARGE) < LARGE_BATCH_BYTES_BESIDE_LIVE + len(LARGE)
    assert ids(inbox.take(Lane.SMALL)) == [many + 1, many + 2]
    inbox.add(connection, publishes(1, LARGE, first=many + 3), NOW + timedelta(seconds=2))
    assert not inbox.has_live_traffic
    assert len(inbox.take(Lane.LARGE)) * len(LARGE) >= BATCH_BYTES


def test_large_messages_are_left_while_they_are_pouring_in_beside_live_ones():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(2, LARGE), NOW)
    assert not inbox.backlog_is_arriving(NOW)  # nothing would be disturbed
    inbox.add(connection, publishes(1, logger="LOG-2"), NOW)
    assert inbox.backlog_is_arriving(NOW)
    assert not inbox.backlog_is_arriving(NOW + BACKLOG_MAX_PAUSE)
    for tenths in range(1, 10):  # a stream that does not end has to be stored, too
        inbox.add(connection, publishes(1, LARGE), NOW + BACKLOG_MAX_WAIT * tenths / 10)
        assert inbox.backlog_is_arriving(NOW + BACKLOG_MAX_WAIT * tenths / 10)
    inbox.add(connection, publishes(1, LARGE), NOW + BACKLOG_MAX_WAIT)
    assert not inbox.backlog_is_arriving(NOW + BACKLOG_MAX_WAIT)


def test_large_messages_are_not_left_until_no_more_can_be_received():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(1, logger="LOG-2"), NOW)
    inbox.add(connection, publishes(1, b"x" * int(MAX_HELD_BYTES * BACKLOG_MAX_FILL - 100)), NOW)
    assert inbox.backlog_is_arriving(NOW)
    inbox.add(connection, publishes(1, LARGE), NOW)
    assert not inbox.backlog_is_arriving(NOW)
    assert connection.reading


def test_a_small_message_does_not_overtake_a_large_one_of_its_logger():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(2, LARGE), NOW)
    inbox.add(connection, publishes(2, first=3), NOW)
    inbox.add(connection, publishes(1, logger="LOG-2", first=5), NOW)
    assert ids(inbox.take(Lane.SMALL)) == [5]
    flight = inbox.take(Lane.LARGE)
    assert ids(flight) == [1, 2, 3, 4]
    inbox.add(connection, publishes(1, first=6), NOW)  # while the database has it
    assert inbox.is_empty(Lane.SMALL)
    inbox.complete(Lane.LARGE, flight)
    inbox.complete(Lane.LARGE, inbox.take(Lane.LARGE))
    inbox.add(connection, publishes(1, first=7), NOW)
    assert ids(inbox.take(Lane.SMALL)) == [7]


def test_receipts_are_confirmed_in_the_order_of_receipt():
    inbox, connection, other = Inbox(), Reader(), Reader()
    inbox.add(connection, publishes(3, LARGE), NOW)
    inbox.add(other, publishes(1, logger="LOG-2"), NOW)
    inbox.add(connection, publishes(1, logger="LOG-3", first=4), NOW)
    small, large = inbox.take(Lane.SMALL), inbox.take(Lane.LARGE)
    assert ids(small) == [1, 4]
    assert inbox.complete(Lane.SMALL, small) == {other: [1], connection: []}  # it waits for those before it
    assert inbox.complete(Lane.LARGE, large) == {connection: [1, 2, 3, 4]}
    assert inbox.messages == 0


def test_what_needs_no_receipt_is_confirmed_to_nobody():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, [Publish("dewar/v1/LOG-1/readings", 0, b"{}")], NOW)
    first = inbox.take(Lane.SMALL)
    inbox.add(connection, [Publish("dewar/v1/LOG-1/readings", 0, b"{}")], NOW)
    assert inbox.complete(Lane.SMALL, first) == {connection: []}
    assert inbox.complete(Lane.SMALL, inbox.take(Lane.SMALL)) == {connection: []}


async def test_whoever_waits_hears_of_every_change():
    inbox = Inbox()
    changes = [asyncio.create_task(inbox.wait_for_change()) for _ in range(2)]
    await asyncio.sleep(0)
    inbox.add(Reader(), publishes(1), NOW)
    await asyncio.wait_for(asyncio.gather(*changes), 5)
    change = asyncio.create_task(inbox.wait_for_change())
    await asyncio.sleep(0)
    inbox.complete(Lane.SMALL, inbox.take(Lane.SMALL))
    await asyncio.wait_for(change, 5)


def test_unwanted_messages_are_confirmed_in_their_order_and_not_held():
    inbox, reader = Inbox(), Reader()
    sent = [*publishes(2), *publishes(2, logger="BAD", first=3), *publishes(1, first=5)]
    unwanted = {"dewar/v1/BAD/readings"}
    assert inbox.add(reader, sent, NOW, unwanted) == []  # the first two come before
    assert inbox.messages == 3
    assert inbox.add(reader, publishes(1, logger="BAD", first=6), NOW, unwanted) == []
    taken = inbox.take(Lane.SMALL)
    assert inbox.complete(Lane.SMALL, taken) == {reader: [1, 2, 3, 4, 5, 6]}
    assert inbox.add(reader, publishes(2, logger="BAD", first=7), NOW, unwanted) == [7, 8]
    assert (inbox.messages, inbox.bytes) == (0, 0)


def test_what_waits_of_a_suspended_logger_makes_room_for_the_others():
    inbox, reader = Inbox(), Reader()
    inbox.add(reader, publishes(1), NOW)
    payload = b"x" * (MAX_HELD_BYTES // 40)
    inbox.add(reader, publishes(41, payload, logger="BAD", first=2), NOW)
    assert not reader.reading
    assert inbox.discard({"dewar/v1/BAD/readings"}) == {reader: []}  # the first message is not stored yet
    assert reader.reading
    assert (inbox.messages, inbox.bytes) == (1, 2)
    assert inbox.take(Lane.LARGE) == []
    assert inbox.complete(Lane.SMALL, inbox.take(Lane.SMALL)) == {reader: list(range(1, 43))}
    inbox.add(reader, publishes(1, logger="BAD", first=50), NOW)
    assert len(inbox.take(Lane.SMALL)) == 1  # nothing large of it is left to wait for
