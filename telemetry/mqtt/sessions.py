"""What the broker keeps for an ingester: taken up by its number, and given back when the ingester goes for good.

A broker goes on sharing readings out to sessions whose ingester is gone. So the others look for such sessions, store
what is in them, and end them.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlsplit

import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from telemetry.mqtt.connection import BrokerError, Connection, Deliver, UnsupportedVersionError
from telemetry.mqtt.inbox import Inbox
from telemetry.mqtt.slots import Slot

log = structlog.get_logger(__name__)

# A device id with slashes in it is no id, but whoever sends one shall find it among what was refused.
READINGS = ("dewar/v1/+/readings", "dewar/v1/+/+/readings", "dewar/v1/+/+/+/readings")
STATUS = "dewar/v1/+/status"
SHARE = "$share/dewarwatch/"
FIRST = 0
"""The number that hears statuses."""
QUIET_S = 0.5
"""A broker that has sent nothing for so long after an unsubscription has nothing more."""
LOOK_EVERY_S = 60.0
LOOKED_AT = 8
"""Numbers of ingesters that are looked at."""


def client_id(url: str, slot: int) -> str:
    """Name the session: the same after a restart, and not to be guessed by a logger, which could take it over."""
    account = urlsplit(url).netloc.rpartition("@")[0]
    return f"dewarwatch-ingest-{slot}-{sha256(account.encode()).hexdigest()[:12]}"


def topics(slot: int, protocol: MQTTProtocolVersion) -> list[str]:
    """Share readings between all ingesters; statuses are for one of them, which so hears them in order."""
    share = (
        SHARE if protocol == MQTTProtocolVersion.MQTTv5 else ""
    )  # older brokers have no shared subscriptions
    return [*(share + topic for topic in READINGS), *([STATUS] if slot == FIRST else [])]


async def empty(connection: Connection, subscriptions: Sequence[str], inbox: Inbox) -> None:
    """Get no new messages, and store what is still on its way; raises BrokerError where the connection ends."""
    await connection.unsubscribe(subscriptions)
    received = -1
    while received != connection.received or connection.paused:
        received = connection.received
        await inbox.settled(connection)
        await asyncio.sleep(QUIET_S)
        # The answer comes behind all that our acknowledgements let go, however long a busy broker takes for it.
        await connection.unsubscribe(subscriptions)


async def adopt(url: str, slot: Slot, inbox: Inbox, deliver: Deliver) -> None:
    """Look now and then for sessions whose ingester is gone, and empty and end them; only where MQTT 5 is spoken.

    It is gone if its number is free at two looks: after the database was away, all numbers are free for a moment.
    Number 0 is taken with all that waits in its session, since it alone hears statuses; what ours was is left to be found.
    """
    were_free: set[int] = set()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        are_free = set()
        try:
            for number in range(LOOKED_AT):
                if number == slot.number:
                    continue
                async with slot.borrowed(number) as free:
                    if free:
                        are_free.add(number)
                    if free and number in were_free and number != FIRST:
                        await _end_session(url, number, inbox, deliver)
            if FIRST in are_free & were_free:
                slot.move_to(FIRST)
        except UnsupportedVersionError:
            return
        except BrokerError as error:
            log.warning("sessions_not_looked_at", problem=f"the broker {error}")
        were_free = are_free


async def _end_session(url: str, number: int, inbox: Inbox, deliver: Deliver) -> None:
    protocol = MQTTProtocolVersion.MQTTv5
    connection = await Connection.open(
        url, client_id=client_id(url, number), protocol=protocol, deliver=deliver
    )
    nothing_left = False
    try:
        if connection.session_present:
            log.warning("session_adopted", slot=number, hint="its ingester is gone")
            await empty(connection, topics(number, protocol), inbox)
        nothing_left = True
    finally:
        connection.close(end_session=nothing_left)
