"""The bounded way between the broker and the database."""

import asyncio
from datetime import UTC, datetime

from telemetry.frames import Publish
from telemetry.inbox import BATCH_BYTES, BATCH_MESSAGES, MOST_BYTES, MOST_MESSAGES, Inbox

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Reader:
    """What an inbox knows of a connection: that it can be stopped from reading."""

    reading = True

    def pause(self):
        self.reading = False

    def resume(self):
        self.reading = True


def publishes(count, payload=b"{}"):
    return [Publish("dewar/v1/LOG-1/readings", packet_id, payload) for packet_id in range(1, count + 1)]


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


def test_too_many_messages_stop_the_reading_until_half_of_them_are_stored():
    inbox, connection = Inbox(), Reader()
    inbox.add(connection, publishes(MOST_MESSAGES), NOW)
    assert connection.reading
    inbox.add(connection, publishes(1), NOW)
    assert not connection.reading
    assert inbox.crowded
    while inbox.messages > MOST_MESSAGES / 2:
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
