"""Sessions at the broker: an ingester resumes the one of its slot, and gives it back when it leaves for good.

A broker keeps distributing readings to sessions whose ingester is gone. So the other ingesters look for such orphaned
sessions, store what is in them, and end them.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from itertools import count
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
_FIRST_CHECKS = 2
QUIET_S = 0.5
"""A broker that sends nothing for this long after an unsubscription has nothing left."""
CHECK_EVERY_S = 60.0
FIRST_CHECK_AFTER_S = 5.0
"""The first two checks are for sessions of a broker that has got another address, and readings may wait in them."""
CHECKED_SLOTS = 8
"""Slots that are checked for orphaned sessions."""


def client_id(url: str, slot: int, broker: int = 0) -> str:
    """Return the client id of a slot: the same after a restart, and one that no logger can guess and take over.

    The number of the broker is in it, because one broker may be reached by two addresses, and so have two numbers.
    """
    account = urlsplit(url).netloc.rpartition("@")[0]
    place = f"{broker}.{slot}" if broker else f"{slot}"
    return f"dewarwatch-ingest-{place}-{sha256(account.encode()).hexdigest()[:12]}"


def address_of(url: str) -> str:
    """Return by what a broker is known in the database: its host and port."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (8883 if parts.scheme == 'mqtts' else 1883)}"


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
    the session that this leaves behind is then found as an orphan. A broker that has got another address counts as
    another broker, and its sessions are found as orphans, too.
    """
    previously_free: set[tuple[int, int]] = set()
    for check in count(1):
        first = check <= _FIRST_CHECKS
        await asyncio.sleep(min(FIRST_CHECK_AFTER_S, CHECK_EVERY_S) if first else CHECK_EVERY_S)
        own = slot.broker, STATUS_SLOT
        free_now = set()
        try:
            for broker in [*([] if first else [slot.broker]), *await slot.other_brokers()]:
                for number in range(CHECKED_SLOTS):
                    at = broker, number
                    if at == (slot.broker, slot.number):
                        continue
                    async with slot.borrowed(number, broker) as free:
                        if free:
                            free_now.add(at)
                        if free and at in previously_free and at != own:
                            await _end_session(url, broker, number, inbox, deliver)
            if own in free_now & previously_free:
                slot.request(STATUS_SLOT)
        except UnsupportedVersionError:
            return
        except BrokerError as error:
            log.warning("sessions_not_looked_at", problem=f"the broker {error}")
        previously_free = free_now


async def _end_session(url: str, broker: int, number: int, inbox: Inbox, deliver: DeliverCallback) -> None:
    protocol = MQTTProtocolVersion.MQTTv5
    connection = await BrokerConnection.open(
        url, client_id=client_id(url, number, broker), protocol=protocol, deliver=deliver
    )
    drained = False
    try:
        if connection.session_present:
            log.warning("session_adopted", slot=number, broker=broker, hint="its ingester is gone")
            await drain_session(connection, subscriptions(number, protocol), inbox)
        drained = True
    finally:
        connection.close(end_session=drained)
