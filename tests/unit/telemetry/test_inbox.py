"""The bounded way between the broker and the database."""

import asyncio
from datetime import UTC, datetime, timedelta

from telemetry.frames import Publish
from telemetry.inbox import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    LARGE_BYTES_BESIDE_LIVE,
    MOST_BYTES,
    MOST_MESSAGES,
    READ_AGAIN_BELOW,
    SMALL_BYTES,
    Inbox,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Reader:
    """What an inbox knows of a connection: that it can be stopped from reading."""

    reading = True

    def pause(self):
        self.reading = False

    def resume(self):
        self.reading = True


LARGE = b"x" * (SMALL_BYTES + 1)


def publishes(count, payload=b"{}", logger="LOG-1", first=1):
    topic = f"dewar/v1/{logger}/readings"
    return [Publish(topic, packet_id, payload) for packet_id in range(first, first + count)]


def ids(batch):
    return [delivery.packet_id for delivery in batch]


def drain(inbox):
    while batch := inbox.take():
        inbox.settle(batch)


def test_batches_come_in_the_order_of_receipt():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(BATCH_MESSAGES + 5), NOW)
    assert inbox.full
    assert [delivery.packet_id for delivery in inbox.take()] == [*range(1, BATCH_MESSAGES + 1)]
    assert [delivery.packet_id for delivery in inbox.take()] == [
        *range(BATCH_MESSAGES + 1, BATCH_MESSAGES + 6)
    ]
    assert inbox.empty
    assert inbox.take() == []


def test_a_batch_is_bounded_in_bytes_and_takes_at_least_one():
    inbox = Inbox()
    inbox.add(Reader(), publishes(3, b"x" * BATCH_BYTES), NOW)
    assert [len(inbox.take()) for _ in range(4)] == [1, 1, 1, 0]


def test_too_many_messages_stop_the_reading_until_some_of_them_are_stored():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(MOST_MESSAGES), NOW)
    assert connection.reading
    inbox.add(connection, publishes(1), NOW)
    assert not connection.reading
    assert inbox.crowded
    while inbox.messages > MOST_MESSAGES * READ_AGAIN_BELOW:
        assert not connection.reading
        inbox.settle(inbox.take())
    assert connection.reading
    assert not inbox.crowded


def test_too_many_bytes_stop_the_reading():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(5, b"x" * (MOST_BYTES // 4)), NOW)
    assert not connection.reading
    drain(inbox)
    assert connection.reading
    assert (inbox.messages, inbox.bytes) == (0, 0)


def test_a_live_reading_overtakes_what_another_logger_brings_back_from_a_flight():
    inbox, connection = Inbox(), Reader()
    many = 3 * BATCH_BYTES // len(LARGE)
    inbox.add(connection, publishes(many, LARGE), NOW)
    inbox.add(connection, publishes(2, logger="LOG-2", first=many + 1), NOW)
    assert ids(inbox.take()) == [many + 1, many + 2]
    beside_live = ids(inbox.take())
    assert beside_live[0] == 1
    assert len(beside_live) * len(LARGE) < LARGE_BYTES_BESIDE_LIVE + len(LARGE)
    inbox.add(connection, publishes(1, LARGE, first=many + 3), NOW + timedelta(seconds=2))
    assert len(ids(inbox.take())) * len(LARGE) >= BATCH_BYTES  # nothing live any more


def test_however_much_is_live_the_flight_has_every_other_batch():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(1000, LARGE), NOW)
    inbox.add(connection, publishes(5 * BATCH_MESSAGES, logger="LOG-2", first=1001), NOW)
    assert [inbox.take()[0].packet_id > 1000 for _ in range(6)] == [True, False] * 3


def test_messages_of_one_topic_keep_their_order():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(2, LARGE), NOW)
    inbox.add(connection, publishes(2, first=3), NOW)
    inbox.add(connection, publishes(1, logger="LOG-2", first=5), NOW)
    assert [ids(inbox.take()) for _ in range(2)] == [[5], [1, 2, 3, 4]]
    inbox.add(connection, publishes(1, first=6), NOW)
    inbox.add(connection, publishes(1, LARGE, logger="LOG-2", first=7), NOW)
    assert [ids(inbox.take()) for _ in range(2)] == [[6], [7]]  # nothing large of it waits any more


def test_receipts_are_confirmed_in_the_order_of_receipt():
    inbox, connection, other = Inbox(), Reader(), Reader()
    inbox.add(connection, publishes(3, LARGE), NOW)
    inbox.add(other, publishes(1, logger="LOG-2"), NOW)
    inbox.add(connection, publishes(1, logger="LOG-3", first=4), NOW)
    small, large = inbox.take(), inbox.take()
    assert ids(small) == [1, 4]
    assert inbox.settle(small) == {other: [1], connection: []}  # the live one waits for those before it
    assert inbox.settle(large) == {connection: [1, 2, 3, 4]}
    assert inbox.messages == 0


def test_what_needs_no_receipt_is_confirmed_to_nobody():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, [Publish("dewar/v1/LOG-1/readings", 0, b"{}")], NOW)
    first = inbox.take()
    inbox.add(connection, [Publish("dewar/v1/LOG-1/readings", 0, b"{}")], NOW)
    assert inbox.settle(first) == {connection: []}
    assert inbox.settle(inbox.take()) == {connection: []}


async def test_whoever_waits_hears_of_every_change():
    inbox = Inbox()
    changes = [asyncio.create_task(inbox.change()) for _ in range(2)]
    await asyncio.sleep(0)
    inbox.add(Reader(), publishes(1), NOW)
    await asyncio.wait_for(asyncio.gather(*changes), 5)
    change = asyncio.create_task(inbox.change())
    await asyncio.sleep(0)
    inbox.settle(inbox.take())
    await asyncio.wait_for(change, 5)
