"""The newest pulse of the database, kept by the broker as a retained message, which outlives every process of ours."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

import structlog

from telemetry.continuity.pulse import EVERY_S, Memory, Pulse
from telemetry.mqtt.connection import BrokerConnection, BrokerError
from telemetry.mqtt.packets import Publish

log = structlog.get_logger(__name__)

TOPIC: Final = "dewar/v1/service/pulse"
"""No logger may write to it: each has its own topics for readings and status only."""


class BrokerPulses:
    """Hands what the broker kept to `memory`, and has it keep the newest pulse once that is judged."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._subscribed: tuple[BrokerConnection, float] | None = None
        self._kept: Pulse | None = None

    async def subscribe(self, connection: BrokerConnection) -> None:
        """Ask for what is kept; with QoS 0, so that none wait for an absent service."""
        try:
            await connection.subscribe([TOPIC], qos=0, always_retained=True)
        except BrokerError as error:
            if connection.closed.done():
                raise
            log.info("pulse_refused", problem=str(error), hint=f"may the service read and write {TOPIC}?")
        else:
            self._subscribed, self._kept = (connection, monotonic()), None

    def take(self, publishes: Sequence[Publish]) -> list[Publish]:
        """Note the pulses among some messages, and return the other messages."""
        others = []
        for publish in publishes:
            if publish.topic != TOPIC:
                others.append(publish)
            elif (pulse := Pulse.from_json(publish.payload)) is not None:
                self._note(pulse)
        return others

    def _note(self, pulse: Pulse) -> None:
        """Note a pulse, unless one that waits to be judged is newer."""
        waits = self._memory.outside
        if waits is None or pulse.at >= waits.at:
            self._memory.outside = pulse

    def publish(self) -> None:
        """Have the newest pulse kept, once whatever was kept before has come and has been judged."""
        newest = self._memory.own
        if self._subscribed is None or newest is None or newest == self._kept:
            return
        connection, since = self._subscribed
        judged = self._memory.outside is None and monotonic() - since > EVERY_S
        if judged and connection.may_publish():
            connection.publish(TOPIC, newest.to_json(), retain=True)
            self._kept = newest
