"""Sessions at the broker: an ingester resumes the one of its slot, and gives it back when it leaves for good.

A broker keeps distributing readings to sessions whose ingester is gone. So the other ingesters look for such orphaned
sessions, store what is in them, and end them.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlsplit

import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from telemetry.mqtt.connection import BrokerConnection, BrokerError, DeliverCallback, UnsupportedVersionError
from telemetry.mqtt.inbox import Inbox
from telemetry.mqtt.slots import Slot

log = structlog.get_logger(__name__)

# An id with slashes is not a valid device id, but whoever sends one shall find the message among the refused ones.
READING_TOPICS = ("dewar/v1/+/readings", "dewar/v1/+/+/readings", "dewar/v1/+/+/+/readings")
STATUS_TOPIC = "dewar/v1/+/status"
SHARE_PREFIX = "$share/dewarwatch/"
STATUS_SLOT = 0
"""The slot that subscribes to statuses."""
QUIET_S = 0.5
"""A broker that sends nothing for this long after an unsubscription has nothing left."""
CHECK_EVERY_S = 60.0
CHECKED_SLOTS = 8
"""Slots that are checked for orphaned sessions."""


def client_id(url: str, slot: int) -> str:
    """Return the client id of a slot: the same after a restart, and one that no logger can guess and take over."""
    account = urlsplit(url).netloc.rpartition("@")[0]
    return f"dewarwatch-ingest-{slot}-{sha256(account.encode()).hexdigest()[:12]}"


def subscriptions(slot: int, protocol: MQTTProtocolVersion) -> list[str]:
    """Return the topic filters of a slot: readings are shared between all ingesters, statuses go to one, in order."""
    # Brokers before MQTT 5 have no shared subscriptions.
    share = SHARE_PREFIX if protocol == MQTTProtocolVersion.MQTTv5 else ""
    return [*(share + topic for topic in READING_TOPICS), *([STATUS_TOPIC] if slot == STATUS_SLOT else [])]


async def drain_session(connection: BrokerConnection, topics: Sequence[str], inbox: Inbox) -> None:
    """Unsubscribe, and wait until all that the session still holds is stored; raises BrokerError."""
    await connection.unsubscribe(topics)
    received = -1
    while received != connection.received or connection.paused:
        received = connection.received
        await inbox.wait_until_completed(connection)
        await asyncio.sleep(QUIET_S)
        # The answer comes after all that our acknowledgements release, however long a busy broker takes for it.
        await connection.unsubscribe(topics)


async def adopt_orphaned_sessions(url: str, slot: Slot, inbox: Inbox, deliver: DeliverCallback) -> None:
    """Drain and end sessions whose ingester is gone, once in a while; returns if the broker does not speak MQTT 5.

    An ingester counts as gone if its slot is free in two checks in a row, as all slots are free for a moment after the
    database was away. Since only slot 0 hears statuses, a free slot 0 is moved to, with all that waits in its session;
    the session that this leaves behind is then found as an orphan.
    """
    previously_free: set[int] = set()
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        free_now = set()
        try:
            for number in range(CHECKED_SLOTS):
                if number == slot.number:
                    continue
                async with slot.borrowed(number) as free:
                    if free:
                        free_now.add(number)
                    if free and number in previously_free and number != STATUS_SLOT:
                        await _end_session(url, number, inbox, deliver)
            if STATUS_SLOT in free_now & previously_free:
                slot.request(STATUS_SLOT)
        except UnsupportedVersionError:
            return
        except BrokerError as error:
            log.warning("sessions_not_looked_at", problem=f"the broker {error}")
        previously_free = free_now


async def _end_session(url: str, number: int, inbox: Inbox, deliver: DeliverCallback) -> None:
    protocol = MQTTProtocolVersion.MQTTv5
    connection = await BrokerConnection.open(
        url, client_id=client_id(url, number), protocol=protocol, deliver=deliver
    )
    drained = False
    try:
        if connection.session_present:
            log.warning("session_adopted", slot=number, hint="its ingester is gone")
            await drain_session(connection, subscriptions(number, protocol), inbox)
        drained = True
    finally:
        connection.close(end_session=drained)
